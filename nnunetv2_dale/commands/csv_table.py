"""Tables that people hand in: comma, semicolon or tab between the columns, with or without a byte order mark."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError

_DELIMITERS = (",", ";", "\t")  # Excel writes semicolons where the comma is the decimal sign


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a table as dictionaries, without spaces around the values; lines without any value are left out.

    Column names may be written in capitals. Columns that are not in `columns` are kept, and so are line breaks in a
    quoted value.

    Raises:
        UserError: no such file, no text, a column is missing, a quotation mark that does not end, or a line has more
            values than there are columns.
    """
    return [row for _, row in read_numbered_table(path, columns)]


def read_numbered_table(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """`read_table` with the number of the line that each row begins in, counted from 1."""
    text = _text(path)
    for delimiter in _DELIMITERS:
        try:
            lines = _lines(text, delimiter)
            _, header = next(lines, (1, []))
            names = [name.strip().casefold() for name in header]
            if set(columns) <= set(names):
                return _rows(path, names, lines)
        except csv.Error as error:
            raise UserError(f"{path} cannot be read as a table: {error}; look at its quotation marks") from error
    raise UserError(
        f"{path} needs a first line with the columns {' and '.join(columns)}, separated by commas, semicolons or tabs, "
        f"and one line for each {columns[0]}; its first line is {text.partition(chr(10))[0].strip()[:80]!r}"
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


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    first = 1
    for values in reader:
        yield first, values
        first = reader.line_num + 1


def _rows(
    path: Path, names: Sequence[str], lines: Iterable[tuple[int, Sequence[str]]]
) -> list[tuple[int, dict[str, str]]]:
    rows = []
    for number, line in lines:
        values = ["\n".join(value.strip().splitlines()) if "\r" in value else value.strip() for value in line]
        if not any(values):
            continue
        if any(values[len(names) :]):
            raise UserError(f"line {number} of {path} has {len(values)} values for {len(names)} columns")
        values += [""] * (len(names) - len(values))
        rows.append((number, dict(zip(names, values, strict=False))))
    return rows
