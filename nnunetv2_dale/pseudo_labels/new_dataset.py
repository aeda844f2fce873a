"""A dataset of the labelled cases and the judged ones, with folds whose validation cases all have real labels.

nnU-Net draws the cases of a batch from a fold's list, all entries with the same probability. So the labelled cases
stand there several times: they stay about half of what a training sees, however many are judged.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nnunetv2_dale import __version__
from nnunetv2_dale.nnunet_files.confidence_map import read_confidence_map
from nnunetv2_dale.nnunet_files.confidence_table import MAPS, copy_confidence
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.placing import place, place_cases
from nnunetv2_dale.nnunet_files.problems import refuse_problems
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder
from nnunetv2_dale.nnunet_files.splits import Splits, new_dataset, splits_by_fold, splits_in_use
from nnunetv2_dale.nnunet_files.target import PSEUDO_LABELS, Target
from nnunetv2_dale.nnunet_files.volume_writing import write_label
from nnunetv2_dale.nnunet_files.volumes import read_label

SURE = 0.9  # confidence below which `ignore` gives a voxel the ignore label


@dataclass(frozen=True)
class NewDataset:
    """Where the dataset goes.

    `folds` are those of the labelled cases. `rest` is of doubtful cases: "confidence", "ignore" or "leave_out".
    """

    target: Target
    folds: Splits
    rest: str
    overwrite: bool


def folds_of(dataset: RawDataset, folder: ResultFolder) -> Splits:
    """The folds of the labelled cases: those in use, else as the networks were validated."""
    names = [case.name for case in dataset.cases]
    splits = splits_in_use(dataset.folder, names)
    if splits is not None:
        return splits
    validated = [{name for name, case in folder.cases.items() if case.fold == fold} for fold in folder.folds]
    return splits_by_fold(names, validated)


def write_dataset(
    new: NewDataset, source: RawDataset, cases: Sequence[RawCase], doubtful: Mapping[str, bool], place: Path
) -> None:
    """Write the dataset; it appears when it is complete, with its folds: judged cases are for training.

    `place` holds `CASE.ENDING`, `confidence/CASE.ENDING` of doubtful cases and `expected_dice.csv`.
    """
    kept = [case for case in cases if new.rest != "leave_out" or not doubtful[case.name]]
    names = [case.name for case in kept]
    splits = [
        {"train": fold["train"] * max(1, round(len(names) / len(fold["train"]))) + names, "val": fold["val"]}
        for fold in new.folds
    ]
    with new_dataset(source.folder, new.target.folder, splits, new.overwrite) as folder:
        predicted = [replace(case, label=place / f"{case.name}{source.file_ending}") for case in kept]
        problems = place_cases([*source.cases, *predicted], folder)
        problems += copy_confidence(source, {case.name for case in source.cases}, folder)
        refuse_problems(problems, source.folder)
        for case in kept:
            if doubtful[case.name]:
                _mark(case, folder, place / "confidence", source, new.rest)
        shutil.copy(place / "expected_dice.csv", folder)
        marked = new.rest == "ignore" and any(doubtful.values())
        description = source.with_ignore_label() if marked else source.dataset_json
        made = {"nnunetv2_dale": __version__, "source": source.folder.name, "cases": names}
        write_json(folder / "dataset.json", {**description, "numTraining": len(source.cases) + len(kept)})
        write_json(folder / PSEUDO_LABELS, {**made, "rest": new.rest})


def _mark(case: RawCase, folder: Path, confidences: Path, source: RawDataset, rest: str) -> None:
    """Give a doubtful case its map of confidence, or the ignore label where that is low."""
    label = folder / "labelsTr" / f"{case.name}{source.file_ending}"
    if rest == "confidence":
        (folder / MAPS).mkdir(exist_ok=True)
        place(confidences / label.name, folder / MAPS / label.name)
        return
    values, properties = read_label(source.reader(), label, source.label_values)
    stored = (values.shape, properties)
    confidence = read_confidence_map(source.reader(), confidences / label.name, label, stored)
    marked = np.where(confidence < SURE, source.ignore_label_or_next, values)
    write_label(source.reader(), marked, label, properties)
