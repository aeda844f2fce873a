"""All that a raw dataset holds of what people know about its labels: found, read, checked and counted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.confidence_map import map_files, name_problems, read_confidence_map
from nnunetv2_dale.nnunet_files.confidence_table import (
    MAPS,
    READERS,
    TABLE,
    ConfidenceTable,
    class_names,
    has_confidence,
    read_confidence_table,
)
from nnunetv2_dale.nnunet_files.geometry import Stored
from nnunetv2_dale.nnunet_files.problems import FileError, Problem, refuse_problems
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset, require_labels
from nnunetv2_dale.nnunet_files.volumes import read_label
from nnunetv2_dale.readers.reading import ReadersValues, read_reader, unequal_cases, unequal_classes

Sums = Mapping[int, tuple[int, int, float]]  # label value → voxels, those below 1, sum of the confidence


@dataclass(frozen=True)
class GivenConfidence:
    """The table; case → its map; reader → case → that reader's label."""

    table: ConfidenceTable
    maps: Mapping[str, Path]
    readers: Mapping[str, Mapping[str, Path]]


def read_given(dataset: RawDataset) -> GivenConfidence:
    """Read the table and find the maps and readers' labels; no volume is opened.

    Raises:
        UserError: nothing is given, the table is refused, or files belong to no case or are not of every reader.
    """
    folder = dataset.folder
    if not has_confidence(folder):
        raise UserError(
            f"{folder} has neither {TABLE} nor {MAPS} nor {READERS}; see docs/confidence.md for what they hold"
        )
    table = read_confidence_table(folder, dataset.dataset_json["labels"], [case.name for case in dataset.cases])
    names = sorted(path.name for path in (folder / READERS).glob("[!.]*") if path.is_dir())
    problems = name_problems(dataset)
    for name in names:
        problems += name_problems(dataset, f"{READERS}/{name}")
    readers = {name: map_files(dataset, f"{READERS}/{name}") for name in names}
    problems += unequal_cases(readers, {name: folder / READERS / name for name in names})
    refuse_problems(problems, folder)
    return GivenConfidence(table, map_files(dataset), readers)


def unequal_classes_of(dataset: RawDataset, given: GivenConfidence, found: Collection[ReadersValues]) -> list[Problem]:
    """`unequal_classes` of a dataset's own readers."""
    labels = dataset.dataset_json["labels"]
    classes = {name: np.atleast_1d(labels[name]).tolist() for name in class_names(labels)}
    return unequal_classes(found, classes, {name: dataset.folder / READERS / name for name in given.readers})


def readers_of(given: GivenConfidence, case: str) -> dict[str, Path]:
    """Reader → label of a case."""
    return {name: files[case] for name, files in given.readers.items() if case in files}


@dataclass(frozen=True)
class ClassConfidence:
    """What is known of one class, "background" among them: voxels in the label, of cases in which it is annotated."""

    name: str
    not_annotated: int  # number of cases
    doubted: float | None  # share of its voxels with a confidence below 1; None without any voxel
    mean: float | None  # confidence of its voxels


def check_confidence(dataset: RawDataset, processes: int) -> tuple[GivenConfidence, list[ClassConfidence]]:
    """Read everything that is given."""
    require_labels(dataset)
    given, reader = read_given(dataset), dataset.reader()
    work = [
        (case.name, (case, reader, dataset.label_values, given.maps.get(case.name), readers_of(given, case.name)))
        for case in dataset.cases
    ]
    sums: dict[str, Sums] = {}
    problems: list[Problem] = []
    drawn: list[ReadersValues] = []
    for case, found in run_cases(_check_case, work, processes, "checking confidence"):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            sums[case], values = found
            drawn.append(values)
    problems = problems or unequal_classes_of(dataset, given, drawn)
    refuse_problems(problems, dataset.folder)
    return given, list(_of_classes(dataset, given, sums))


def _check_case(
    case: RawCase, reader: Any, allowed: frozenset[int], map_file: Path | None, readers: Mapping[str, Path]
) -> tuple[Sums, ReadersValues] | Problem:
    assert case.label is not None
    try:
        label, properties = read_label(reader, case.label, allowed)
        stored: Stored = label.shape, properties
        drawn = {
            name: frozenset(np.unique(read_reader(reader, file, allowed, case.label, stored)).tolist())
            for name, file in readers.items()
        }
        confidence = read_confidence_map(reader, map_file, case.label, stored) if map_file else np.ones_like(label)
    except FileError as error:
        return error.problem
    sums = {}
    for value in np.unique(label).tolist():
        of_value = confidence[label == value]
        sums[value] = of_value.size, int(np.count_nonzero(of_value < 1)), float(of_value.sum(dtype=np.float64))
    return sums, drawn


def _of_classes(dataset: RawDataset, given: GivenConfidence, sums: Mapping[str, Sums]) -> Iterator[ClassConfidence]:
    labels = dataset.dataset_json["labels"]
    for name in ("background", *class_names(labels)):
        values = np.atleast_1d(labels.get(name, 0)).tolist()
        open_in = {case for case in sums if name in given.table.not_annotated(case)}
        rows = [each[value] for case, each in sums.items() if case not in open_in for value in values if value in each]
        voxels, doubted, total = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0.0)
        shares = (doubted / voxels, total / voxels) if voxels else (None, None)
        yield ClassConfidence(name, len(open_in), *shares)
