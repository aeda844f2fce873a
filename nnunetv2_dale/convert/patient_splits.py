"""`nnUNetv2_dale_convert splits`: folds by patient for a dataset that is there already."""

from __future__ import annotations

import argparse

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.command_parser import CommandParser
from nnunetv2_dale.commands.csv_table import read_keyed_table
from nnunetv2_dale.commands.shared_flags import add_dataset, add_overwrite, add_patients, at_least_one
from nnunetv2_dale.convert.splits import folds_by_group
from nnunetv2_dale.nnunet_files.atomic_output import refuse_existing, write_texts
from nnunetv2_dale.nnunet_files.folders import SPLITS, known_places
from nnunetv2_dale.nnunet_files.json_files import json_text
from nnunetv2_dale.nnunet_files.raw_dataset import read_raw
from nnunetv2_dale.nnunet_files.split_patients import FILE

DESCRIPTION = f"""\
Divide a dataset into folds by patient: all cases of a patient are in the same fold. So no network is
validated on a patient that it was trained on.

You give a table with one line for each case, and the columns case and patient:
  case,patient
  liver_001,P17
  liver_002,P17

It writes two files into the dataset's folder in nnUNet_raw, and into that in nnUNet_preprocessed if it is there:
  {SPLITS}     the folds, for nnU-Net
  {FILE}  the patients; nnUNetv2_dale_benchmark checks the folds with them before it trains
"""
EXAMPLE = """\
example:
  nnUNetv2_dale_convert splits -d 510 --patients patients.csv
"""


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
    add_overwrite(command, f"{SPLITS} and {FILE}")
    command.set_defaults(run=split_by_patient)


def split_by_patient(arguments: argparse.Namespace) -> None:
    """Write the folds and the patients.

    Raises:
        UserError: a case without a patient, fewer patients than folds, or files that exist; nothing is written.
    """
    dataset = read_raw(arguments.d)
    raw, names = dataset.folder, [case.name for case in dataset.cases]
    table = read_keyed_table(arguments.patients, "case", ["patient"], names)
    without = [name for name in names if not table.get(name, {}).get("patient")]
    if without:
        raise UserError(
            f"{arguments.patients} has no patient for {len(without)} cases of {raw.name}, such as {without[0]}"
        )
    patients = {name: table[name]["patient"] for name in names}
    if arguments.folds < 2:
        raise UserError(f"--folds is at least 2, got {arguments.folds}")
    try:
        splits = folds_by_group(patients, arguments.folds)
    except ValueError as error:
        raise UserError(f"{raw.name} cannot be split: {error}") from error
    # nnU-Net takes the raw dataset's folds only once: the preprocessed one gets them too, if it is there
    places = [raw, *(place for place in known_places(raw.name, "nnUNet_preprocessed") if place.is_dir())]
    for place in places:
        for name in (SPLITS, FILE):
            refuse_existing(place / name, arguments.overwrite)
    texts = {SPLITS: json_text(splits), FILE: json_text(patients)}
    write_texts({place / name: text for place in places for name, text in texts.items()}, arguments.overwrite)
    unused = len(table.keys() - patients.keys())
    print(
        f"{len(splits)} folds of {len(set(patients.values()))} patients with {len(names)} cases in "
        + " and ".join(str(place / SPLITS) for place in places)
        + (f"; {unused} cases of the table are not in the dataset" if unused else "")
    )
