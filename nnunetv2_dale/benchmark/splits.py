"""The dataset's split in `splits_final.json`: checked before a training starts, made where there is none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import load_json, save_json
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dale.benchmark.inputs import Folders, listed
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.split_patients import FILE, read_split_patients, shared_patient

DEFAULT_NUMBER_OF_FOLDS = 5


def check_folds(folders: Folders, folds: Sequence[str]) -> list[str]:
    """Check that the dataset's split has the folds.

    Returns:
        every fold of the split.
    Raises:
        UserError: an unknown fold; nnU-Net itself would train on a random split instead.
    """
    split = folders.preprocessed / folders.dataset / "splits_final.json"
    number = len(load_json(str(split))) if split.is_file() else DEFAULT_NUMBER_OF_FOLDS
    known = [str(fold) for fold in range(number)]
    for fold in folds:
        if fold not in known and fold != "all":
            raise UserError(f"{folders.dataset} has no fold {fold}; it has {listed([*known, 'all'])}")
    return known


def check_split_cases(folders: Folders, plans: Sequence[str], configurations: Sequence[str]) -> None:
    """Check that every case of the dataset's split is preprocessed.

    Raises:
        UserError: the split is none, or names a case that the preprocessed data lack; nnU-Net would fail on it late.
    """
    split = folders.preprocessed / folders.dataset / "splits_final.json"
    if not split.is_file():
        return
    try:
        named = {str(case) for fold in load_json(str(split)) for part in ("train", "val") for case in fold[part]}
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{split} is no split of nnU-Net: expected a list of folds, each with train and val") from error
    for name in plans:
        manager = PlansManager(str(folders.preprocessed / folders.dataset / f"{name}.json"))
        for configuration in configurations:
            data = str(
                folders.preprocessed / folders.dataset / manager.get_configuration(configuration).data_identifier
            )
            absent = sorted(named - set(map(str, infer_dataset_class(data).get_identifiers(data))))
            if absent:
                raise UserError(
                    f"{split} names {len(absent)} cases that are not in {data}, such as {absent[0]}; correct the names "
                    "(no file ending, no channel number) or preprocess these cases"
                )


def check_split_patients(folders: Folders) -> None:
    """Check that no fold has cases of one patient on both sides, where the patients are known (`split_patients`).

    Raises:
        UserError: one has, or the table of patients is damaged.
    """
    split = folders.preprocessed / folders.dataset / "splits_final.json"
    raw = os.environ.get("nnUNet_raw")  # noqa: SIM112 (nnU-Net's name)
    places = [split.parent, *([Path(raw) / folders.dataset] if raw else [])]
    try:
        patients = read_split_patients(places)
    except ValueError as error:
        raise UserError(str(error)) from error
    shared = shared_patient(load_json(str(split)), patients) if patients and split.is_file() else None
    if shared is not None:
        raise UserError(
            f"{split}: {shared}; make folds by patient with nnUNetv2_dale_convert splits --overwrite, "
            f"or delete {FILE} if its patients are wrong"
        )


def make_split(folders: Folders, plans: str, configuration: str) -> None:
    """Write the split that nnU-Net would write in its first training: several at once would write it at once.

    Raises:
        UserError: fewer cases than folds.
    """
    target = folders.preprocessed / folders.dataset / "splits_final.json"
    if target.exists():
        return
    manager = PlansManager(str(folders.preprocessed / folders.dataset / f"{plans}.json"))
    cases = list(np.sort(_cases(_data_folder(folders, manager, configuration))))
    if len(cases) < DEFAULT_NUMBER_OF_FOLDS:
        raise UserError(f"{folders.dataset} has {len(cases)} cases, too few for {DEFAULT_NUMBER_OF_FOLDS} folds")
    with new_file(target) as unfinished:
        save_json(generate_crossval_split(cases, seed=12345, n_splits=DEFAULT_NUMBER_OF_FOLDS), str(unfinished))


def _data_folder(folders: Folders, manager: PlansManager, configuration: str) -> str:
    return str(folders.preprocessed / folders.dataset / manager.get_configuration(configuration).data_identifier)


def _cases(data: str) -> list[str]:
    return [str(name) for name in infer_dataset_class(data).get_identifiers(data)]
