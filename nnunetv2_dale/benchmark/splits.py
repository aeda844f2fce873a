"""The dataset's split in `splits_final.json`: checked before a training starts, made where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dale.benchmark.inputs import Folders, listed
from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.folders import SPLITS, known_places
from nnunetv2_dale.nnunet_files.splits import (
    PATIENTS,
    Splits,
    lacking_part,
    read_split_patients,
    read_splits,
    shared_patient,
)

DEFAULT_NUMBER_OF_FOLDS = 5


def check_folds(folders: Folders, folds: Sequence[str]) -> list[str]:
    """Check that the dataset's split has the folds.

    Returns:
        every fold of the split.
    Raises:
        UserError: the split is none, or has no such fold (nnU-Net itself would train on a random split instead), or
            one without a training or validation case.
    """
    split = _read_split(folders)
    number = DEFAULT_NUMBER_OF_FOLDS if split is None else len(split)
    known = [str(fold) for fold in range(number)]
    for fold in folds:
        if fold not in known and fold != "all":
            raise UserError(f"{folders.dataset} has no fold {fold}; it has {listed([*known, 'all'])}")
        lacking = lacking_part(split[int(fold)]) if split is not None and fold != "all" else None
        if lacking is not None:
            raise UserError(f"fold {fold} of {_split_file(folders)} has no {lacking} case; take other folds with -f")
    return known


def check_split_cases(folders: Folders, plans: Sequence[str], configurations: Sequence[str]) -> None:
    """Check that every case of the dataset's split is preprocessed.

    Raises:
        UserError: the split is none, or names a case that the preprocessed data lack; nnU-Net would fail on it late.
    """
    folds = _read_split(folders)
    if folds is None:
        return
    named = {case for fold in folds for part in ("train", "val") for case in fold[part]}
    for name in plans:
        for configuration in configurations:
            data = _data_folder(folders, name, configuration)
            absent = sorted(named - set(map(str, infer_dataset_class(data).get_identifiers(data))))
            if absent:
                raise UserError(
                    f"{_split_file(folders)} names {counted(len(absent), 'case')} not in {data}, such as {absent[0]}; "
                    "correct the names (no file ending, no channel number) or preprocess these cases"
                )


def check_split_patients(folders: Folders) -> None:
    """Check that no fold has cases of one patient on both sides, where the patients are known (`splits`).

    Raises:
        UserError: one has, or the table of patients is damaged.
    """
    split = _split_file(folders)
    patients = read_split_patients([split.parent, *known_places(folders.dataset, "nnUNet_raw")])
    folds = _read_split(folders)
    shared = shared_patient(folds, patients) if patients and folds is not None else None
    if shared is not None:
        raise UserError(
            f"{split}: {shared}; make folds by patient with nnUNetv2_dale_convert splits --overwrite, "
            f"or delete {PATIENTS} if its patients are wrong"
        )


def make_split(folders: Folders, plans: str, configuration: str) -> None:
    """Write the split that nnU-Net would write in its first training: several at once would write it at once.

    Raises:
        UserError: fewer cases than folds.
    """
    target = _split_file(folders)
    if target.exists():
        return
    data = _data_folder(folders, plans, configuration)
    cases = list(np.sort([str(name) for name in infer_dataset_class(data).get_identifiers(data)]))
    if len(cases) < DEFAULT_NUMBER_OF_FOLDS:
        raise UserError(
            f"{folders.dataset} has {counted(len(cases), 'case')}, too few for {DEFAULT_NUMBER_OF_FOLDS} folds"
        )
    with new_file(target) as unfinished:
        save_json(generate_crossval_split(cases, seed=12345, n_splits=DEFAULT_NUMBER_OF_FOLDS), str(unfinished))


def unpack_cases(folders: Folders, runs: Sequence[Run], processes: int) -> None:
    """Unpack what an older nnU-Net preprocessed as `.npz`: several trainings at once would write the same files.

    A file that an earlier training left unfinished is written anew. Of today's `.b2nd` there is nothing to do.
    """
    for plans, configuration in dict.fromkeys((run.plans, run.configuration) for run in runs):
        data = _data_folder(folders, plans, configuration)
        infer_dataset_class(data).unpack_dataset(data, num_processes=processes, verify=True)


def _split_file(folders: Folders) -> Path:
    return folders.of_dataset / SPLITS


def _read_split(folders: Folders) -> Splits | None:
    """Return the dataset's folds; None where there is no file."""
    file = _split_file(folders)
    return read_splits(file) if file.is_file() else None


def _data_folder(folders: Folders, plans: str, configuration: str) -> str:
    manager = PlansManager(str(folders.of_dataset / f"{plans}.json"))
    return str(folders.of_dataset / manager.get_configuration(configuration).data_identifier)
