"""Folds for `splits_final.json`; `nnUNetv2_dale_convert splits` makes them by patient for a dataset that is there."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence

from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.commands.shared_flags import add_dataset, add_overwrite, add_patients, at_least_one
from nnunetv2_dale.nnunet_files.atomic_output import refuse_existing, write_texts
from nnunetv2_dale.nnunet_files.folders import SPLITS, known_places
from nnunetv2_dale.nnunet_files.json_files import json_text
from nnunetv2_dale.nnunet_files.raw_dataset import read_raw
from nnunetv2_dale.nnunet_files.splits import PATIENTS, read_patients

Fold = dict[str, list[str]]
DESCRIPTION = f"""\
Divide a dataset into folds by patient: all cases of a patient are in the same fold. So no network is
validated on a patient that it was trained on.

You give a table with one line for each case, and the columns case and patient:
  case,patient
  liver_001,P17
  liver_002,P17

It writes two files into the dataset's folder in nnUNet_raw, and into that in nnUNet_preprocessed if it is there:
  {SPLITS}     the folds, for nnU-Net
  {PATIENTS}  the patients; nnUNetv2_dale_benchmark checks the folds with them before it trains
"""
EXAMPLE = """\
example:
  nnUNetv2_dale_convert splits -d 510 --patients patients.csv
"""


def fixed_split(train: Iterable[str], val: Iterable[str]) -> list[Fold]:
    """Return the one fold of an official split: nnU-Net's fold 0 trains on `train` and validates on `val`."""
    return [{"train": sorted(train), "val": sorted(val)}]


def random_folds(names: Sequence[str]) -> list[Fold]:
    """Return nnU-Net's own seeded folds, written down so that every run of every machine has the same."""
    return folds_by_group({name: name for name in names})


def folds_by_group(group_of: Mapping[str, str], num_folds: int = 5) -> list[Fold]:
    """Return folds in which no group (a patient) has cases on both sides.

    The groups are split by nnU-Net's seeded `generate_crossval_split`, so one case per group gives nnU-Net's own folds.

    Raises:
        ValueError: fewer groups than folds.
    """
    groups = sorted(set(group_of.values()))
    if len(groups) < num_folds:
        raise ValueError(f"{num_folds} folds need at least {num_folds} cases or patients, found {len(groups)}")
    folds: list[Fold] = []
    for fold in generate_crossval_split(groups, n_splits=num_folds):
        validation = {str(group) for group in fold["val"]}
        folds.append(
            {
                "train": sorted(name for name, group in group_of.items() if group not in validation),
                "val": sorted(name for name, group in group_of.items() if group in validation),
            }
        )
    return folds


def add_splits_command(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add the sub-command with its flags."""
    command = commands.add_parser(
        "splits",
        help="Folds by patient, for a dataset that is in nnUNet_raw already",
        description=DESCRIPTION,
        epilog=EXAMPLE,
    )
    add_dataset(command, "nnUNet_raw")
    add_patients(command, "folds by patient", required=True)
    command.add_argument("--folds", type=at_least_one, default=5, metavar="N", help="Number of folds")
    add_overwrite(command, f"{SPLITS} and {PATIENTS}")
    command.set_defaults(run=split_by_patient)


def split_by_patient(arguments: argparse.Namespace) -> None:
    """Write the folds and the patients."""
    dataset = read_raw(arguments.d)
    raw, names = dataset.folder, [case.name for case in dataset.cases]
    table = read_patients(arguments.patients, names)
    patients = {name: table[name] for name in names}
    if arguments.folds < 2:
        raise UserError(f"--folds is at least 2, got {arguments.folds}")
    try:
        splits = folds_by_group(patients, arguments.folds)
    except ValueError as error:
        raise UserError(f"{raw.name} cannot be split: {error}") from error
    # nnU-Net takes the raw dataset's folds only once: the preprocessed one gets them too, if it is there
    places = [raw, *(place for place in known_places(raw.name, "nnUNet_preprocessed") if place.is_dir())]
    for place in places:
        for name in (SPLITS, PATIENTS):
            refuse_existing(place / name, arguments.overwrite)
    texts = {SPLITS: json_text(splits), PATIENTS: json_text(patients)}
    write_texts({place / name: text for place in places for name, text in texts.items()}, arguments.overwrite)
    unused = len(table.keys() - patients.keys())
    print(
        f"{len(splits)} folds of {len(set(patients.values()))} patients with {len(names)} cases in "
        + " and ".join(str(place / SPLITS) for place in places)
        + (f"; {counted(unused, 'case')} of the table not in the dataset" if unused else "")
    )
