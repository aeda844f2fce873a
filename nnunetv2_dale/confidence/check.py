"""`nnUNetv2_dale_confidence check`: is what is given right, and how much is there?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.confidence.given import GivenConfidence, read_given, read_reader, readers_of
from nnunetv2_dale.nnunet_files.confidence_map import read_confidence_map
from nnunetv2_dale.nnunet_files.confidence_table import class_names
from nnunetv2_dale.nnunet_files.geometry import Stored
from nnunetv2_dale.nnunet_files.problems import DatasetProblemsError, FileError, Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset, require_labels
from nnunetv2_dale.nnunet_files.volumes import read_label

Sums = Mapping[int, tuple[int, int, float]]
"""Label value → voxels, voxels with a confidence below 1, sum of the confidence."""


@dataclass(frozen=True)
class ClassConfidence:
    """What is known of one class, "background" among them: voxels in the label, of cases in which it is annotated.

    Attributes:
        not_annotated: number of cases.
        doubted: share of its voxels with a confidence below 1; None without any voxel.
        mean: confidence of its voxels.
    """

    name: str
    not_annotated: int
    doubted: float | None
    mean: float | None


def check_confidence(dataset: RawDataset, processes: int) -> tuple[GivenConfidence, list[ClassConfidence]]:
    """Read everything that is given.

    Raises:
        UserError: what is wrong, of all files in one message.
    """
    require_labels(dataset)
    given, reader = read_given(dataset), dataset.reader()
    work = [
        (case.name, (case, reader, dataset.label_values, given.maps.get(case.name), readers_of(given, case.name)))
        for case in dataset.cases
    ]
    sums: dict[str, Sums] = {}
    problems: list[Problem] = []
    for case, found in run_cases(_check_case, work, processes, "checking confidence"):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            sums[case] = found
    if problems:
        raise DatasetProblemsError(problems, dataset.folder)
    return given, list(_of_classes(dataset, given, sums))


def _check_case(
    case: RawCase, reader: Any, allowed: frozenset[int], map_file: Path | None, readers: Mapping[str, Path]
) -> Sums | Problem:
    assert case.label is not None
    try:
        label, properties = read_label(reader, case.label, allowed)
        stored: Stored = label.shape, properties
        for file in readers.values():
            read_reader(reader, file, allowed, case.label, stored)
        confidence = read_confidence_map(reader, map_file, case.label, stored) if map_file else np.ones_like(label)
    except FileError as error:
        return error.problem
    sums = {}
    for value in np.unique(label).tolist():
        of_value = confidence[label == value]
        sums[value] = of_value.size, int(np.count_nonzero(of_value < 1)), float(of_value.sum(dtype=np.float64))
    return sums


def _of_classes(dataset: RawDataset, given: GivenConfidence, sums: Mapping[str, Sums]) -> Iterator[ClassConfidence]:
    labels = dataset.dataset_json["labels"]
    for name in ("background", *class_names(labels)):
        values = np.atleast_1d(labels.get(name, 0)).tolist()
        open_in = {case for case in sums if name in given.table.not_annotated(case)}
        rows = [each[value] for case, each in sums.items() if case not in open_in for value in values if value in each]
        voxels, doubted, total = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0.0)
        shares = (doubted / voxels, total / voxels) if voxels else (None, None)
        yield ClassConfidence(name, len(open_in), *shares)
