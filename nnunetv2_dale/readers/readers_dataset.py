"""`nnUNetv2_dale_confidence raters`: labels of several readers become a dataset that says how far they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_dale import __version__
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.confidence_map import write_confidence_map
from nnunetv2_dale.nnunet_files.confidence_table import MAPS, READERS, class_names
from nnunetv2_dale.nnunet_files.folders import SPLITS, files_by_case
from nnunetv2_dale.nnunet_files.geometry import NO_DEPTH
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.placing import place_others
from nnunetv2_dale.nnunet_files.problems import FileError, Problem, refuse_problems
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset
from nnunetv2_dale.nnunet_files.splits import new_dataset, splits_in_use
from nnunetv2_dale.nnunet_files.target import MARKS, OF_READERS, Target
from nnunetv2_dale.nnunet_files.volume_writing import write_label
from nnunetv2_dale.nnunet_files.volumes import read_image, read_label
from nnunetv2_dale.readers.consensus import (
    Comparison,
    LabelTarget,
    Method,
    agreement_with,
    comparisons,
    consensus_of,
)
from nnunetv2_dale.readers.readers_page import write_comparisons
from nnunetv2_dale.readers.reading import read_reader, unequal_cases, unequal_classes


@dataclass(frozen=True)
class ReadersDataset:
    """What was made: its folder, how many cases were read, and voxels without a majority, of how many cases."""

    folder: Path
    cases: int
    tied_voxels: int
    tied_cases: int


@dataclass(frozen=True)
class _Work:
    """What all cases have in common."""

    reader: Any
    allowed: frozenset[int]
    classes: Mapping[str, tuple[int, ...]]
    target: LabelTarget
    ending: str
    folder: Path


@dataclass(frozen=True)
class _Found:
    """Of one case: the label values of each reader, voxels without a majority, how readers compare, in "mm" or "px"."""

    values: Mapping[str, frozenset[int]]
    ties: int
    compared: tuple[Comparison, ...]
    length: str


def write_readers_dataset(
    source: RawDataset, folders: Sequence[Path], target: Target, method: LabelTarget, processes: int, overwrite: bool
) -> ReadersDataset:
    """Copy a dataset with the readers' labels in place of its own; cases that no reader has keep theirs.

    Args:
        folders: of labels, one per reader (`reader_name`), with files named as in `labelsTr`.
        method: "majority" and "staple" write one label and the share of readers that agree with it; "random" writes
            every reader's label, and the majority's for whoever reads one.
    Raises:
        UserError: readers with different cases, classes or voxels, or a target in use; nothing is written.
    """
    readers = _files_of_readers(source, folders)
    splits = splits_in_use(source.folder, [case.name for case in source.cases])
    refuse_problems(target.problems(splits, overwrite), target.root)
    with new_dataset(source.folder, target.folder, splits, overwrite) as folder:
        others = {*MARKS, SPLITS, MAPS, READERS, "readers.csv", "readers.html"}
        refuse_problems(place_others(source.folder, folder, others), source.folder)
        made = replace(write_consensus(source, readers, folder, method, processes), folder=target.folder)
        named = {"nnunetv2_dale": __version__, "source": source.folder.name, "target": method, "readers": list(readers)}
        write_json(folder / OF_READERS, {**named, "cases": made.cases, "tied_voxels": made.tied_voxels})
    return made


def write_consensus(
    source: RawDataset, readers: Mapping[str, Mapping[str, Path]], folder: Path, method: LabelTarget, processes: int
) -> ReadersDataset:
    """Write into a dataset's folder what the labels of several readers become there, and how they compare.

    Args:
        readers: name → case → file; the cases are the same for all.
    """
    labels = source.dataset_json["labels"]
    classes = {name: tuple(np.atleast_1d(labels[name]).tolist()) for name in class_names(labels)}
    read = [case for case in source.cases if case.name in next(iter(readers.values()))]
    work = _Work(source.reader(), source.label_values, classes, method, source.file_ending, folder)
    of_readers = [f"{READERS}/{name}" for name in readers] if method == "random" else [MAPS]
    for name in ("labelsTr", *of_readers):
        (folder / name).mkdir(parents=True, exist_ok=True)
    jobs = [(case.name, (work, case, {name: files[case.name] for name, files in readers.items()})) for case in read]
    results = [result for _, result in run_cases(_write_case, jobs, processes, "comparing readers")]
    refuse_problems([result for result in results if isinstance(result, Problem)], source.folder)
    found = [result for result in results if isinstance(result, _Found)]
    places = {name: next(iter(files.values())).parent for name, files in readers.items()}
    refuse_problems(unequal_classes([each.values for each in found], classes, places), source.folder)
    ties = [each.ties for each in found]
    rows = [row for each in found for row in each.compared]
    write_comparisons(folder, rows, list(readers), method, sum(ties), found[0].length)
    return ReadersDataset(folder, len(read), sum(ties), sum(each > 0 for each in ties))


def reader_name(folder: Path) -> str:
    """A reader is called after the folder of labels, or after the dataset whose `labelsTr` it is."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "labelsTr" else folder.name


def _files_of_readers(source: RawDataset, folders: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Reader → case → file."""
    places = {reader_name(folder): folder for folder in folders}
    if len(places) < 2 or len(places) < len(folders):
        raise UserError(
            f"expected folders of at least two readers with different names, got {', '.join(map(str, folders))}"
        )
    ending, known = source.file_ending, {case.name for case in source.cases}
    readers, problems = {}, []
    for name, place in places.items():
        files = files_by_case(place, ending)
        if not files:
            raise UserError(f"{place} holds no label; expected files like {min(known)}{ending}")
        unknown = sorted(files.keys() - known)
        problems += [Problem(files[case], f"is of no case of {source.folder.name}; remove it") for case in unknown]
        readers[name] = files
    problems += unequal_cases(readers, places)
    refuse_problems(problems, source.folder)
    return readers


def _write_case(work: _Work, case: RawCase, readers: Mapping[str, Path]) -> _Found | Problem:
    try:
        if case.label is not None:
            label, properties = read_label(work.reader, case.label, None)
            shape, given = label.shape, case.label
        else:
            image, properties = read_image(work.reader, case.images)
            shape, given = image.shape[1:], case.images[0]
        drawn = {
            name: read_reader(work.reader, file, work.allowed, given, (shape, properties))
            for name, file in readers.items()
        }
    except FileError as error:
        return error.problem
    method: Method = "majority" if work.target == "random" else work.target
    everyone = list(drawn.values())
    consensus, ties = consensus_of(everyone, method)
    file = f"{case.name}{work.ending}"
    (work.folder / "labelsTr" / file).unlink(missing_ok=True)
    write_label(work.reader, consensus, work.folder / "labelsTr" / file, properties)
    agreement = agreement_with(consensus, everyone)
    if work.target == "random":
        for name, labels in drawn.items():
            write_label(work.reader, labels, work.folder / READERS / name / file, properties)
    elif agreement.min() < 1:
        write_confidence_map(agreement, work.folder / MAPS / file, properties)
    compared = comparisons(case.name, drawn, consensus, work.classes, properties["spacing"])
    values = {name: frozenset(np.unique(labels).tolist()) for name, labels in drawn.items()}
    return _Found(values, ties, tuple(compared), "px" if properties["spacing"][0] == NO_DEPTH else "mm")
