"""What people know about the labels of a raw dataset: `confidence.csv`, folders of maps and of readers.

| in the raw dataset | holds |
|---|---|
| `confidence.csv` | a line per case: `case`, optional `weight`, optional a column per class, 1 annotated, 0 not |
| `confidenceTr/CASE.ENDING` | how far the label of each voxel is to be trusted, 0 to 1 |
| `ratersTr/READER/CASE.ENDING` | the labels of several readers; each visit of a case draws one |
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.csv_table import own_name, read_keyed_table, write_table
from nnunetv2_dale.nnunet_files.placing import place_whole
from nnunetv2_dale.nnunet_files.problems import Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset

TABLE, MAPS, READERS = "confidence.csv", "confidenceTr", "ratersTr"
_YES_NO = {"": True, "1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


@dataclass(frozen=True)
class ConfidenceTable:
    """What `confidence.csv` says. Cases and classes that it does not name have weight 1 and are annotated."""

    classes: tuple[str, ...]  # names of all classes or regions of dataset.json, without background and ignore label
    weights: Mapping[str, float] = field(default_factory=dict)  # case → factor of all its voxels, in [0, 1]
    # case → names of the classes that nobody annotated in it, in the order of `classes`
    open_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def weight(self, case: str) -> float:
        """The factor of a case."""
        return self.weights.get(case, 1.0)

    def not_annotated(self, case: str) -> tuple[str, ...]:
        """Names of the classes that nobody annotated in a case; mostly none."""
        return self.open_classes.get(case, ())

    def annotated(self, case: str) -> dict[str, bool]:
        """Name of each class → whether it was annotated in a case."""
        return {name: name not in self.not_annotated(case) for name in self.classes}


def class_names(labels: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the classes or regions in `labels` of dataset.json, without background and ignore label."""
    return tuple(name for name, value in labels.items() if name != "ignore" and value not in (0, [0]))


def has_confidence(dataset: Path) -> bool:
    """Whether a raw dataset's folder holds any of the table, the maps and the readers' labels.

    Raises:
        UserError: a folder of the table's name, or a file of another's.
    """
    if (dataset / TABLE).is_dir():
        raise UserError(f"{dataset / TABLE} is a folder; expected a table: give it another name")
    if wrong := [name for name in (MAPS, READERS) if (dataset / name).is_file()]:
        raise UserError(f"{dataset / wrong[0]} is a file; expected a folder: give it another name")
    return (dataset / TABLE).is_file() or any((dataset / name).is_dir() for name in (MAPS, READERS))


def next_commands(dataset: Path, number: int) -> str:
    """The commands that come after a raw dataset was made, before its training."""
    then = f", then nnUNetv2_dale_confidence preprocess -d {number}" if has_confidence(dataset) else ""
    return f"nnUNetv2_plan_and_preprocess -d {number} --verify_dataset_integrity{then}"


def read_confidence_table(
    folder: Path, labels: Mapping[str, Any], cases: Collection[str] | None = None
) -> ConfidenceTable:
    """Read `confidence.csv` of a folder; a folder without one says that every class of every case is annotated.

    Args:
        folder: of a raw dataset, or of a preprocessed one's copy.
        cases: of the dataset, to refuse others; None takes every name.
    Raises:
        UserError: a case or class that the dataset does not have, a case twice, a weight outside [0, 1], a class that
            is neither 1 nor 0, a case without any annotated class. Classes called "case" or "weight", or as another one
            but for capitals, have no column: they are annotated everywhere.
    """
    classes, file = class_names(labels), folder / TABLE
    if not file.is_file():
        return ConfidenceTable(classes)
    columns = [name.strip().casefold() for name in classes]  # as tables have them
    own = [column not in ("case", "weight") and columns.count(column) == 1 for column in columns]
    by_column = {column: name for column, name, alone in zip(columns, classes, own, strict=True) if alone}
    weights, open_classes = {}, {}
    for case, row in read_keyed_table(file, "case", (), cases or ()).items():
        if cases is not None and case not in cases:
            raise UserError(f"{file} names the case {case}, which the dataset does not have; correct it or remove it")
        unknown = [column for column in row if column and column not in (*by_column, "case", "weight")]
        if unknown:
            raise UserError(
                f"{file} has a column {unknown[0]!r}; expected case, weight, and the classes of dataset.json: "
                f"{', '.join(by_column.values())}"
            )
        where = f"{file}, case {case}"
        weights[case] = _weight(row.get("weight", ""), where)
        said = {name: _annotated(row.get(column, ""), name, where) for column, name in by_column.items()}
        if not any(said.get(name, True) for name in classes):
            raise UserError(f"{where}: no class is annotated; give the case weight 0, or remove it from the dataset")
        open_classes[case] = tuple(name for name in classes if not said.get(name, True))
    return ConfidenceTable(classes, weights, open_classes)


def write_confidence_table(file: Path, table: ConfidenceTable) -> None:
    """Write a table that `read_confidence_table` reads: a line for each case with a weight or an open class."""
    shown = [name for name in table.classes if any(name in each for each in table.open_classes.values())]
    cases = sorted({*table.weights, *(case for case, names in table.open_classes.items() if names)})
    rows = ([case, f"{table.weight(case):g}", *(int(table.annotated(case)[name]) for name in shown)] for case in cases)
    write_table(file, ["case", "weight", *shown], rows)


def _weight(text: str, where: str) -> float:
    try:
        weight = float(text.replace(",", ".") or 1)
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= 1:  # NaN neither
        raise UserError(f"{where}: expected a weight from 0 to 1, got {text!r}")
    return weight


def _annotated(text: str, name: str, where: str) -> bool:
    if text.casefold() not in _YES_NO:
        raise UserError(f"{where}: expected 1 (annotated) or 0 (not annotated) for {name}, got {text!r}")
    return _YES_NO[text.casefold()]


def copy_confidence(
    source: RawDataset, kept: Collection[str], folder: Path, redrawn: Collection[str] = ()
) -> list[Problem]:
    """Copy the maps, the readers' labels and the table's lines of the cases that are kept; the damaged files.

    Args:
        redrawn: cases of which the label alone counts from now on, and no reader's.
    """
    problems: list[Problem] = []
    for name in (MAPS, READERS):
        for file in sorted((source.folder / name).rglob("*" + source.file_ending)):
            case = file.name.removesuffix(source.file_ending)
            if case in kept and not (name == READERS and case in redrawn):
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
