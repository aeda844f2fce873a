"""Tables that people hand in: comma, semicolon or tab between the columns, with or without a byte order mark."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.counted import counted

_DELIMITERS = (",", ";", "\t")  # Excel writes semicolons where the comma is the decimal sign


def read_numbered_table(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The lines of a table as (number of the line that a row begins in, its values without spaces around them).

    Lines are counted from 1; those without any value are left out. Column names may be written in capitals. Columns
    that are not in `columns` are kept, and so are line breaks in a quoted value.

    Raises:
        UserError: no such file, no text, a column is missing or there twice, a quotation mark that does not end, or a
            line has more values than there are columns.
    """
    text = _text(path)
    for delimiter in _DELIMITERS:
        try:
            lines = _lines(text, delimiter)
            _, header = next(lines, (1, []))
            names = [name.strip().casefold() for name in header]
            if set(columns) <= set(names):
                twice = [name for name in names if name and names.count(name) > 1]
                if twice:
                    raise UserError(f"{path} has two columns {twice[0]!r}; keep one of them")
                return _rows(path, names, lines)
        except csv.Error as error:
            raise UserError(f"{path} cannot be read as a table: {error}; look at its quotation marks") from error
    first, plural = text.partition("\n")[0].strip()[:80], "s" * (len(columns) > 1)
    raise UserError(
        f"{path} needs a first line with the column{plural} {' and '.join(columns)}, separated by commas, semicolons "
        f"or tabs, and one line for each {columns[0]}; its first line is {first!r}"
    )


def read_keyed_table(
    path: Path, key: str, columns: Sequence[str], names: Collection[str] = ()
) -> dict[str, dict[str, str]]:
    """The rows of `read_numbered_table`, each under its value in column `key`.

    Args:
        names: keys to recognise, see `own_name`.
    Raises:
        UserError: as there; also a line without a key, or a key that is listed twice.
    """
    keyed: dict[str, dict[str, str]] = {}
    for number, row in read_numbered_table(path, [key, *columns]):
        if not row[key]:
            raise UserError(f"{path} has a line without a {key}: {', '.join(filter(None, row.values()))}")
        name = row[key] = own_name(row[key], names, f"{path}, line {number}")
        if name in keyed:
            raise UserError(f"{path} lists {name} twice; keep one line for each {key}")
        keyed[name] = row
    return keyed


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table that every way of reading one takes: UTF-8, commas, a line for each row."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([columns, *rows])


def own_name(text: str, names: Collection[str], where: str) -> str:
    """The name that a value stands for: as it is, with its outer spaces, or as the number a spreadsheet made of it.

    5, 5.0 and 5.00E+00 stand for 005 where no other name has this value. What stands for none of `names` stays.

    Args:
        where: the value is, for the error.
    Raises:
        UserError: it may be two of them.
    """
    if text in names:
        return text
    number = _number(text)
    stripped = [name for name in names if name.strip() == text]
    found = stripped or [name for name in names if number is not None and _number(name) == number]
    if len(found) > 1:
        may_be = " or ".join(map(repr, sorted(found)))
        raise UserError(f"{where}: {text!r} may be {may_be}; write it as it is in the dataset")
    return found[0] if found else text


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d+(\.\d*)?(E[+-]?\d+)?", text, re.IGNORECASE | re.ASCII) else None


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
            raise UserError(
                f"line {number} of {path} has {counted(len(values), 'value')} for {counted(len(names), 'column')}"
            )
        values += [""] * (len(names) - len(values))
        rows.append((number, dict(zip(names, values, strict=False))))
    return rows
