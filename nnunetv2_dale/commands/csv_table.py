"""Tables that people hand in: comma, semicolon or tab between the columns, with or without a byte order mark."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError

_DELIMITERS = (",", ";", "\t")  # Excel writes semicolons where the comma is the decimal sign


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a table as dictionaries, without spaces around the values; lines without any value are left out.

    Column names may be written in capitals. Columns that are not in `columns` are kept.

    Raises:
        UserError: no such file, no text, a column is missing, or a line has more values than there are columns.
    """
    lines = _text(path).splitlines()
    header = lines[0] if lines else ""
    for delimiter in _DELIMITERS:
        names = [name.strip().casefold() for name in next(csv.reader([header], delimiter=delimiter), [])]
        if set(columns) <= set(names):
            return _rows(path, names, list(csv.reader(lines[1:], delimiter=delimiter)))
    raise UserError(
        f"{path} needs a first line with the columns {' and '.join(columns)}, separated by commas, semicolons or tabs, "
        f"and one line for each {columns[0]}; its first line is {header[:80]!r}"
    )


def read_keyed_table(path: Path, key: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """`read_table` with each line under its value in column `key`.

    Raises:
        UserError: as `read_table`; also a line without a key, or a key that is listed twice.
    """
    keyed: dict[str, dict[str, str]] = {}
    for row in read_table(path, [key, *columns]):
        if not row[key]:
            raise UserError(f"{path} has a line without a {key}: {', '.join(filter(None, row.values()))}")
        if row[key] in keyed:
            raise UserError(f"{path} lists {row[key]} twice; keep one line for each {key}")
        keyed[row[key]] = row
    return keyed


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # Excel's "Unicode text"
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read as a table: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read as a table: it is no UTF-8 text; save it as CSV UTF-8") from error


def _rows(path: Path, names: Sequence[str], lines: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    rows = []
    for number, line in enumerate(lines, start=2):
        values = [value.strip() for value in line]
        if not any(values):
            continue
        if any(values[len(names) :]):
            raise UserError(f"line {number} of {path} has {len(values)} values for {len(names)} columns")
        values += [""] * (len(names) - len(values))
        rows.append(dict(zip(names, values, strict=False)))
    return rows
