"""The patient of each case, kept beside `splits_final.json`, to check that no fold has a patient on both sides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2.paths import nnUNet_preprocessed

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.dataset_description import read_json_object

FILE = "splits_patients.json"


def split_patients_text(patients: Mapping[str, str]) -> str:
    """The content of the table, a JSON object."""
    return json.dumps(dict(patients), indent=2, ensure_ascii=False) + "\n"


def read_split_patients(folders: Sequence[Path]) -> dict[str, str] | None:
    """Case -> patient, from the first of `folders` that holds the table; None where none does.

    Raises:
        ValueError: it is damaged.
    """
    for folder in folders:
        if (folder / FILE).is_file():
            try:
                return {str(case): str(patient) for case, patient in read_json_object(folder / FILE).items()}
            except ValueError as error:
                raise ValueError(f"{folder / FILE} {error}") from error
    return None


def known_patients(dataset: Path) -> dict[str, str] | None:
    """Case -> patient of a raw dataset, from beside the splits in use, else from its folder; None where none is known.

    Raises:
        UserError: the table is damaged.
    """
    preprocessed = nnUNet_preprocessed.get()
    places = [Path(preprocessed) / dataset.name] if preprocessed else []
    try:
        return read_split_patients([*places, dataset])
    except ValueError as error:
        raise UserError(str(error)) from error


def shared_patient(splits: Sequence[Mapping[str, Sequence[str]]], patients: Mapping[str, str]) -> str | None:
    """What is wrong with a split that has cases of one patient on both sides of a fold; None where no fold has.

    Cases without a known patient are patients of their own.
    """
    for number, fold in enumerate(splits):
        training = {patients[case]: case for case in fold["train"] if case in patients}
        for case in fold["val"]:
            if patients.get(case) in training:
                patient = patients[case]
                return f"fold {number} trains on {training[patient]} and validates on {case}, both of patient {patient}"
    return None
