"""`nnUNetv2_dale_convert unlabelled`: images without labels as further training cases of a copy of a dataset."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_dale import __version__
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.shared_flags import add_dataset, add_new_dataset, add_overwrite, add_processes
from nnunetv2_dale.convert.splits import Fold, random_folds
from nnunetv2_dale.nnunet_files.atomic_output import new_folder
from nnunetv2_dale.nnunet_files.folders import SPLITS, dataset_folder, environment_folder
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.placing import place, place_others
from nnunetv2_dale.nnunet_files.problems import DatasetProblemsError, FileError, Problem
from nnunetv2_dale.nnunet_files.raw_dataset import (
    RawCase,
    RawDataset,
    read_dataset,
    require_labels,
    unlabelled_cases,
)
from nnunetv2_dale.nnunet_files.split_patients import FILE as PATIENTS
from nnunetv2_dale.nnunet_files.split_patients import known_patients
from nnunetv2_dale.nnunet_files.splits import find_splits, offered_splits, read_splits
from nnunetv2_dale.nnunet_files.target import CONVERSION, MARKS, Target
from nnunetv2_dale.nnunet_files.volume_writing import write_label
from nnunetv2_dale.nnunet_files.volumes import read_image

DESCRIPTION = """\
Add images without labels to a copy of a dataset, for methods that learn from them too (nnUNetTrainerDKUXNet).
Their label maps hold the ignore label everywhere; a dataset without that label gets one. They train in every fold
and validate in none.

The images are named as in imagesTr: CASE_0000.nii.gz, with the dataset's channels and file ending.
"""
EXAMPLE = """\
example:
  nnUNetv2_dale_convert unlabelled -d 27 -i imagesUn --new_id 127
"""


def add_unlabelled_command(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """The sub-command with its flags."""
    command = commands.add_parser(
        "unlabelled",
        help="Images without labels as further training cases of a copy of a dataset",
        description=DESCRIPTION,
        epilog=EXAMPLE,
    )
    add_dataset(command, "nnUNet_raw")
    command.add_argument("-i", type=Path, required=True, metavar="FOLDER", help="Folder that holds the images")
    add_new_dataset(command)
    add_overwrite(command, "the copy")
    add_processes(command, most=4)
    command.set_defaults(run=add_unlabelled)


@dataclass(frozen=True)
class _Job:
    """An unlabelled case on its way into the copy."""

    case: RawCase
    reader: Any
    ignore_label: int
    ending: str
    target: Path


def add_unlabelled(arguments: argparse.Namespace) -> None:
    """Write the copy; it appears under its final name when it is complete.

    Raises:
        UserError: problems of the dataset, the images or the target; nothing is written.
    """
    raw = environment_folder("nnUNet_raw")
    source = read_dataset(dataset_folder(raw, arguments.d))
    if "dataset" in source.dataset_json:
        what = "names its files one by one; expected the layout of imagesTr and labelsTr"
        raise FileError(source.folder / "dataset.json", what)
    require_labels(source)
    cases = unlabelled_cases(arguments.i, source)
    splits = _splits(source, [case.name for case in cases])
    target = Target(raw, arguments.new_id, source.folder.name.partition("_")[2], CONVERSION)
    problems = target.problems(splits, arguments.overwrite)
    if problems:
        raise DatasetProblemsError(problems, raw)
    reader, ignore = source.reader(), source.ignore_label_or_next
    with offered_splits(target.folder, splits), new_folder(target.folder, arguments.overwrite) as folder:
        problems = place_others(source.folder, folder, {*MARKS, SPLITS, PATIENTS})
        jobs = [(case.name, (_Job(case, reader, ignore, source.file_ending, folder),)) for case in cases]
        found = [result for _, result in run_cases(_write_case, jobs, arguments.np, "adding cases")]
        problems += [problem for problem in found if problem is not None]
        if problems:
            raise DatasetProblemsError(problems, source.folder)
        total = len(source.cases) + len(cases)
        write_json(folder / "dataset.json", {**source.with_ignore_label(), "numTraining": total})
        write_json(folder / SPLITS, splits)
        patients = known_patients(source.folder)
        if patients is not None:
            write_json(folder / PATIENTS, dict(patients))
        named = {"recipe": "unlabelled", "nnunetv2_dale": __version__, "source": source.folder.name}
        write_json(folder / CONVERSION, {**named, "unlabelled": [case.name for case in cases]})
    print(
        f"{target.folder}: {len(source.cases)} labelled and {len(cases)} unlabelled cases, ignore label {ignore}; "
        f"folds validate on labelled ones; next: nnUNetv2_plan_and_preprocess -d {arguments.new_id}"
    )


def _splits(source: RawDataset, unlabelled: list[str]) -> list[Fold]:
    """The dataset's folds, or nnU-Net's own of its cases; the unlabelled ones train in each."""
    names = [case.name for case in source.cases]
    path = find_splits(source.folder, None)
    try:
        folds = random_folds(names) if path is None else read_splits(path, names)
    except ValueError as error:
        raise UserError(f"{source.folder.name} cannot be split: {error}") from error
    return [{"train": sorted([*fold["train"], *unlabelled]), "val": fold["val"]} for fold in folds]


def _write_case(job: _Job) -> Problem | None:
    """Copy the images and write a label map of the ignore label; the problem if an image cannot be read."""
    try:
        image, properties = read_image(job.reader, job.case.images)
    except FileError as error:
        return error.problem
    for path in job.case.images:
        place(path, job.target / "imagesTr" / path.name)
    label = np.full(image.shape[1:], job.ignore_label, np.int16)
    write_label(job.reader, label, job.target / "labelsTr" / f"{job.case.name}{job.ending}", properties)
    return None
