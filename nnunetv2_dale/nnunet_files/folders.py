"""nnU-Net's three folders, and where the files of a dataset lie in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from nnunetv2_dale.commands.command_line import UserError, first_of

Variable = Literal["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"]
SPLITS = "splits_final.json"
MOST_NAMED = 8  # datasets, in a message


def files_by_case(folder: Path, ending: str) -> dict[str, Path]:
    """Case → its file CASE.ENDING in a folder, hidden ones left out; none where there is no such folder."""
    return {file.name.removesuffix(ending): file for file in sorted(folder.glob(f"[!.]*{ending}"))}


def known_folder(variable: Variable) -> Path | None:
    """Return the folder an environment variable of nnU-Net names, there or not; None where it is not set."""
    value = os.environ.get(variable)
    return Path(value) if value else None


def known_places(dataset: str | None, *variables: Variable) -> list[Path]:
    """Return a dataset's folders in those of nnU-Net's folders whose variables are set, there or not, in order."""
    return [root / dataset for variable in variables if dataset and (root := known_folder(variable)) is not None]


def splits_of(dataset: str) -> Path | None:
    """Say where nnU-Net looks for the folds of a dataset, there or not; None where `nnUNet_preprocessed` is not set."""
    return next((place / SPLITS for place in known_places(dataset, "nnUNet_preprocessed")), None)


def environment_folder(variable: str) -> Path:
    """Return the folder an environment variable of nnU-Net names.

    Raises:
        UserError: the variable is not set, or its folder does not exist.
    """
    value = os.environ.get(variable)
    if not value:
        raise UserError(f"the environment variable {variable} is not set; set it to the folder nnU-Net uses")
    folder = Path(value)
    if not folder.is_dir() and value[0] == value[-1] in "\"'":
        raise UserError(f"{variable} is {value}, with quotation marks as part of the folder; set it without them")
    if not folder.is_dir():
        raise UserError(f"{variable} is {folder}, which is not a folder; create it or correct the variable")
    return folder


def dataset_folder(parent: Path, name_or_id: str) -> Path:
    """Return the folder of a dataset under `nnUNet_raw` or `nnUNet_preprocessed`, from its id (`4`) or its whole name.

    Raises:
        UserError: there is none, or an id that several folders carry.
    """
    if name_or_id.startswith("Dataset"):
        found = [parent / name_or_id] if (parent / name_or_id).is_dir() else []
    elif name_or_id.isdecimal() and 0 < int(name_or_id) < 1000:
        found = sorted(path for path in parent.glob(f"Dataset{int(name_or_id):03d}_*") if path.is_dir())
    else:
        raise UserError(
            f"expected a dataset id from 1 to 999 or a name like Dataset004_Hippocampus, got {name_or_id!r}"
        )
    if len(found) != 1:
        what = "no dataset" if not found else "several datasets, " + ", ".join(path.name for path in found) + ","
        there = sorted(path.name for path in parent.glob("Dataset*"))
        holds = "" if found else f", which has {', '.join(first_of(there, MOST_NAMED)) or 'none'}"
        raise UserError(f"found {what} for {name_or_id} in {parent}{holds}; check the name and the folder")
    return found[0]
