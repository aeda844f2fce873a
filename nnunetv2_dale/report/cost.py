"""What a training cost: its epochs as times and as a learning curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from nnunetv2_dale.nnunet_files.results.training_logs import epochs_from_logs, training_logs


@dataclass(frozen=True)
class FoldCost:
    """One fold's training. Times are training time: pauses between interrupted runs do not count.

    `seconds_per_epoch` is the mean over the epochs, with saving and plotting: times the epochs it is `hours`.
    A fold that is not `finished` has no validation yet: what it has cost so far is no cost of a training.
    """

    fold: str
    epochs: int
    seconds_per_epoch: float | None
    hours: float | None
    mean_validation_dice: float | None
    source: str = "training log"
    finished: bool = True


@dataclass(frozen=True)
class LearningCurve:
    """One fold's training, one entry per epoch; `hours` is the training time at the end of the epoch."""

    fold: str
    epochs: list[int]
    hours: list[float | None]
    pseudo_dice: list[float | None]
    train_loss: list[float | None]
    validation_loss: list[float | None]


def read_fold_cost(
    folder: Path, fold: str, mean_validation_dice: float | None, finished: bool = True
) -> tuple[FoldCost, LearningCurve] | None:
    """Return the cost and the learning curve of a fold, or None where no log tells.

    Args:
        folder: the fold's folder (`fold_0`).
        fold: its name.
        mean_validation_dice: of the validation after training, for the figure Dice over time.
        finished: whether there is one.
    """
    epochs = epochs_from_logs(training_logs(folder))
    if not epochs:
        return None
    numbers, records = zip(*sorted(epochs.items()), strict=True)
    known = [each.duration for each in records if each.duration is not None]
    ends = np.cumsum([math.nan if each.duration is None else each.duration / 3600 for each in records])
    curve = LearningCurve(
        fold=fold,
        epochs=list(numbers),
        hours=[None if math.isnan(end) else end for end in ends.tolist()],
        pseudo_dice=[each.pseudo_dice for each in records],
        train_loss=[each.train_loss for each in records],
        validation_loss=[each.validation_loss for each in records],
    )
    seconds = fmean(known) if known else None
    return FoldCost(fold, len(numbers), seconds, curve.hours[-1], mean_validation_dice, finished=finished), curve


def pseudo_dice_at(curve: LearningCurve, hours: float) -> float | None:
    """Return the pseudo Dice of the last epoch that ended within `hours` of training; None if none did."""
    pairs = zip(curve.hours, curve.pseudo_dice, strict=True)
    reached = [dice for end, dice in pairs if end is not None and end <= hours + 1e-9 and dice is not None]
    return reached[-1] if reached else None


def shared_hours(curves_of_runs: Sequence[Sequence[LearningCurve]]) -> float | None:
    """Return the training time that every fold of every run reached; None where a run has no record of time."""
    ends = [curve.hours[-1] for curves in curves_of_runs for curve in curves]
    known = [end for end in ends if end is not None]
    return min(known) if known and len(known) == len(ends) and all(curves_of_runs) else None
