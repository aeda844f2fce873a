"""`nnUNetv2_dale_convert unlabelled`: images without labels as further training cases of a copy of a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_dale import __version__
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.commands.shared_flags import add_dataset, add_new_dataset, add_overwrite, add_processes
from nnunetv2_dale.convert.splits import Fold, random_folds
from nnunetv2_dale.nnunet_files.confidence_table import next_commands
from nnunetv2_dale.nnunet_files.folders import SPLITS
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.placing import place, place_others
from nnunetv2_dale.nnunet_files.problems import FileError, Problem, refuse_problems
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset, read_raw, require_labels, unlabelled_cases
from nnunetv2_dale.nnunet_files.splits import PATIENTS, new_dataset, splits_in_use
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
    """Add the sub-command with its flags."""
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


def add_unlabelled(arguments: argparse.Namespace) -> None:
    """Write the copy; it appears under its final name when it is complete."""
    source = read_raw(arguments.d)
    target = Target.of_copy(source, arguments.new_id, CONVERSION)
    require_labels(source)
    cases = unlabelled_cases(arguments.i, source)
    splits = _splits(source, [case.name for case in cases])
    refuse_problems(target.problems(splits, arguments.overwrite), target.root)
    reader, ignore = source.reader(), source.ignore_label_or_next
    with new_dataset(source.folder, target.folder, splits, arguments.overwrite) as folder:
        problems = place_others(source.folder, folder, {*MARKS, SPLITS, PATIENTS})
        jobs = [(case.name, (case, reader, ignore, source.file_ending, folder)) for case in cases]
        found = [result for _, result in run_cases(_write_case, jobs, arguments.np, "adding cases")]
        refuse_problems([*problems, *(problem for problem in found if problem is not None)], source.folder)
        total = len(source.cases) + len(cases)
        write_json(folder / "dataset.json", {**source.with_ignore_label(), "numTraining": total})
        named = {"recipe": "unlabelled", "nnunetv2_dale": __version__, "source": source.folder.name}
        write_json(folder / CONVERSION, {**named, "unlabelled": [case.name for case in cases]})
    print(
        f"{target.folder}: {len(source.cases)} labelled and {counted(len(cases), 'unlabelled case')}, ignore label "
        f"{ignore}; folds validate on labelled ones; next: {next_commands(target.folder, arguments.new_id)}"
    )


def _splits(source: RawDataset, unlabelled: list[str]) -> list[Fold]:
    """The dataset's folds, or nnU-Net's own of its cases; the unlabelled ones train in each."""
    names = [case.name for case in source.cases]
    try:
        folds = splits_in_use(source.folder, names) or random_folds(names)
    except ValueError as error:
        raise UserError(f"{source.folder.name} cannot be split: {error}") from error
    return [{"train": sorted([*fold["train"], *unlabelled]), "val": fold["val"]} for fold in folds]


def _write_case(case: RawCase, reader: Any, ignore_label: int, ending: str, target: Path) -> Problem | None:
    """Copy the images and write a label map of the ignore label; the problem if an image cannot be read."""
    try:
        image, properties = read_image(reader, case.images)
    except FileError as error:
        return error.problem
    for path in case.images:
        place(path, target / "imagesTr" / path.name)
    label = np.full(image.shape[1:], ignore_label, np.int16)
    write_label(reader, label, target / "labelsTr" / f"{case.name}{ending}", properties)
    return None
