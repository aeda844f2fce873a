"""A trained model folder of nnU-Net (`TRAINER__PLANS__CONFIGURATION`): read and checked before it is used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.json_files import read_json_object

Json = dict[str, Any]
_NO_MODEL = "give the folder of a trained model, named TRAINER__PLANS__CONFIGURATION, which holds the folds"


@dataclass(frozen=True)
class TrainedModel:
    """What a model folder holds; checkpoints are mapped from disk, so that five folds need no memory."""

    folder: Path
    plans: Json
    dataset: Json
    trainer_name: str
    configuration: str
    folds: tuple[str, ...]  # "0", "1", … or "all"
    checkpoints: Mapping[str, Mapping[str, Any]]  # by path below the folder: "fold_0/checkpoint_final.pth"

    @property
    def dataset_name(self) -> str:
        """The dataset's folder name, such as `Dataset004_Hippocampus`."""
        return str(self.plans["dataset_name"])

    @property
    def plans_name(self) -> str:
        """The plans' identifier, such as `nnUNetPlans`."""
        return str(self.plans["plans_name"])


def read_trained_model(folder: Path, folds: Sequence[str] | None, checkpoint_names: Sequence[str]) -> TrainedModel:
    """Read a model folder: the folds wanted, or None, all numbered folds that hold the checkpoints, or else `fold_all`.

    Raises:
        UserError: something is missing or unreadable, or the checkpoints are not of one trainer and configuration.
    """
    if not folder.is_dir():
        raise UserError(f"no trained model at {folder}: there is no such folder")
    plans, dataset = (read_json_object(folder / name, _NO_MODEL) for name in ("plans.json", "dataset.json"))
    if missing := {"dataset_name", "plans_name", "configurations"} - plans.keys():
        raise UserError(
            f"{folder / 'plans.json'} is not a plans file of nnU-Net: it lacks {', '.join(sorted(missing))}"
        )
    chosen = _folds(folder, folds, checkpoint_names)
    checkpoints = {
        f"fold_{fold}/{name}": _read_checkpoint(folder / f"fold_{fold}" / name)
        for fold in chosen
        for name in checkpoint_names
    }
    trainer_name = _common(folder, {path: str(content["trainer_name"]) for path, content in checkpoints.items()})
    configuration = _common(
        folder, {path: str(content["init_args"]["configuration"]) for path, content in checkpoints.items()}
    )
    if configuration not in plans["configurations"]:
        raise UserError(
            f"the checkpoints of {folder} are of configuration {configuration}, which its plans.json does not have "
            f"(it has {', '.join(plans['configurations'])})"
        )
    return TrainedModel(folder, plans, dataset, trainer_name, configuration, chosen, checkpoints)


def _folds(folder: Path, wanted: Sequence[str] | None, checkpoint_names: Sequence[str]) -> tuple[str, ...]:
    present = sorted(path.name.removeprefix("fold_") for path in folder.glob("fold_*") if path.is_dir())
    present = sorted((fold for fold in present if re.fullmatch(r"\d+|all", fold)), key=lambda fold: fold.zfill(9))
    complete = [
        fold for fold in present if all((folder / f"fold_{fold}" / name).is_file() for name in checkpoint_names)
    ]
    chosen = list(wanted) if wanted else [fold for fold in complete if fold != "all"] or complete
    missing = [fold for fold in chosen if fold not in complete]
    unfinished = [fold for fold in present if fold not in complete and fold != "all"]
    if not wanted and chosen and chosen[0] != "all" and unfinished:
        raise UserError(
            f"{folder} has fold {', '.join(unfinished)} without {' and '.join(checkpoint_names)}, so it would be left "
            f"out; train it to the end, or name the folds you want: -f {' '.join(chosen)}"
        )
    if missing or not chosen:
        files = sorted({path.name for path in folder.glob("fold_*/checkpoint_*.pth")})
        raise UserError(
            f"{folder} holds no {' and '.join(checkpoint_names)} for fold {', '.join(missing) or '0 to 4 or all'}; "
            f"folds there: {', '.join(present) or 'none'}; checkpoints there: {', '.join(files) or 'none'} "
            "(choose with -f and -chk)"
        )
    return tuple(dict.fromkeys(chosen))


def _read_checkpoint(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
    except Exception as error:  # a damaged file fails in whatever way the unpickler meets first
        raise UserError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from error
    wanted = {"network_weights", "trainer_name", "init_args"}
    if not isinstance(content, dict) or not wanted <= content.keys() or "configuration" not in content["init_args"]:
        raise UserError(f"{path} is not a checkpoint of nnU-Net: it should hold {', '.join(sorted(wanted))}")
    return content


def _common(folder: Path, values: Mapping[str, str]) -> str:
    if len(set(values.values())) > 1:
        found = ", ".join(f"{path}: {value}" for path, value in values.items())
        raise UserError(f"the checkpoints of {folder} are not of one training: {found}")
    return next(iter(values.values()))
