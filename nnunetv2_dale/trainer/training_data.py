"""What a training needs of its data: refused with a reason and the command that helps, before time is spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor

from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.folders import SPLITS
from nnunetv2_dale.nnunet_files.splits import lacking_part, read_splits


def check_preprocessed(folder: str | None, plans: PlansManager, configuration: str, fold: int | str) -> None:
    """Raise a RuntimeError when a configuration has no preprocessed cases, or the fold in use cannot be trained."""
    if folder is None or not any(Path(folder).glob("*.pkl")):
        raise RuntimeError(
            f"expected preprocessed data of configuration {configuration!r} in {folder}, found none; run "
            f"nnUNetv2_preprocess -d {plans.dataset_name} -plans_name {plans.plans_name} -c {configuration}"
        )
    if isinstance(fold, int):
        _check_fold(Path(folder), fold)


def _check_fold(folder: Path, fold: int) -> None:
    """Refuse a hand-made fold without training or validation cases, or with one that is not preprocessed.

    nnU-Net ends in a traceback on it, without a validation case only after the training. Without the file nnU-Net makes
    it; a fold that is not in it is random.
    """
    splits = folder.parent / SPLITS
    if not splits.is_file():
        return
    folds = read_splits(splits)
    if fold >= len(folds):
        return
    lacking = lacking_part(folds[fold])
    if lacking is not None:
        raise RuntimeError(f"fold {fold} of {splits} has no {lacking} case; give it one, or train another fold")
    known = {path.stem for path in folder.glob("*.pkl")}
    absent = sorted({case for cases in folds[fold].values() for case in cases} - known)
    if absent:
        raise RuntimeError(
            f"fold {fold} of {splits} names {counted(len(absent), 'case')} not in {folder}, first {absent[0]}; correct "
            "the names (no file ending, no channel number) or preprocess these cases"
        )


def check_previous_stage(folder: str, cases: Iterable[str], stage: str) -> None:
    """Raise a RuntimeError when a cascade's cases have no prediction of the stage before.

    Args:
        folder: where that stage's validation puts them.
        cases: all cases of this training.
    """
    predicted = {path.stem for path in Path(folder).glob("*")}
    missing = sorted(set(cases) - predicted)
    if missing:
        raise RuntimeError(
            f"no prediction of {stage} in {folder} for {len(missing)} of the cases, first {missing[0]}; train {stage} "
            f"with the same trainer on all folds first, each with its validation"
        )


def refuse_non_finite(images: Tensor, cases: Sequence[str] | None) -> None:
    """Raise a RuntimeError that names the cases with NaN or infinite intensities.

    Args:
        images: (B, C, *S), still on the CPU: on another device the check would wait for it, and is left out.
        cases: the names of the samples.
    """
    if images.device.type != "cpu" or torch.isfinite(images).all():
        return
    bad = (~torch.isfinite(images)).flatten(1).any(dim=1).nonzero().flatten().tolist()
    named = ", ".join(str(cases[sample]) for sample in bad) if cases is not None else f"samples {bad}"
    raise RuntimeError(
        f"the batch holds NaN or infinite intensities, from {named}; repair these images and preprocess them again"
    )
