"""What else a dataset holds of each case goes into its copy: maps of confidence, readers' labels, a table of both."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path

from nnunetv2_dale.commands.csv_table import own_name
from nnunetv2_dale.nnunet_files.confidence_table import MAPS, READERS, TABLE
from nnunetv2_dale.nnunet_files.placing import place_whole
from nnunetv2_dale.nnunet_files.problems import Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset


def copy_confidence(source: RawDataset, kept: Collection[str], folder: Path) -> list[Problem]:
    """Copy the files and the lines of the cases that are kept; the problems of files that are damaged."""
    problems: list[Problem] = []
    for file in _files(source, kept):
        target = folder / file.relative_to(source.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        problems += place_whole(file, target)
    if (source.folder / TABLE).is_file():
        (folder / TABLE).write_bytes(lines_of(source.folder / TABLE, kept))
    return problems


def lines_of(table: Path, cases: Collection[str]) -> bytes:
    """Return a table as it is, without the lines of other cases; a table without a column `case` as it is."""
    content = table.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:  # whoever reads it says so
        return content
    for delimiter in ",;\t":
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        names = [name.strip().casefold() for name in lines[0]] if lines else []
        if "case" in names and len(names) > 1:
            place = names.index("case")
            stream = io.StringIO(newline="")
            writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
            writer.writerow(lines[0])
            writer.writerows(line for line in lines[1:] if own_name(_of(line, place), cases, str(table)) in cases)
            return stream.getvalue().encode()
    return content


def _of(line: list[str], place: int) -> str:
    return line[place].strip() if place < len(line) else ""


def _files(source: RawDataset, kept: Collection[str]) -> Iterator[Path]:
    for name in (MAPS, READERS):
        for file in sorted((source.folder / name).rglob("*" + source.file_ending)):
            if file.name.removesuffix(source.file_ending) in kept:
                yield file
