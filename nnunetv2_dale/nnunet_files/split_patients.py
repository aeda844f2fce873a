"""The patient of each case, kept beside `splits_final.json`, to check that no fold has a patient on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_dale.nnunet_files.folders import known_places
from nnunetv2_dale.nnunet_files.json_files import read_json_object

FILE = "splits_patients.json"


def read_split_patients(folders: Sequence[Path]) -> dict[str, str] | None:
    """Return case -> patient, from the first of `folders` that holds the table; None where none does.

    Raises:
        UserError: it is damaged.
    """
    file = next((file for folder in folders if (file := folder / FILE).is_file()), None)
    return None if file is None else {case: str(patient) for case, patient in read_json_object(file).items()}


def known_patients(dataset: Path) -> dict[str, str] | None:
    """Return case -> patient of a raw dataset, from beside the splits in use, else from its folder; None where none is
    known.

    Raises:
        UserError: the table is damaged.
    """
    return read_split_patients([*known_places(dataset.name, "nnUNet_preprocessed"), dataset])


def shared_patient(splits: Sequence[Mapping[str, Sequence[str]]], patients: Mapping[str, str]) -> str | None:
    """Return what is wrong with a split that has cases of one patient on both sides of a fold; None where no fold has.

    Cases without a known patient are patients of their own.
    """
    for number, fold in enumerate(splits):
        training = {patients[case]: case for case in fold["train"] if case in patients}
        for case in fold["val"]:
            if patients.get(case) in training:
                patient = patients[case]
                return f"fold {number} trains on {training[patient]} and validates on {case}, both of patient {patient}"
    return None
