"""What a training cost: its epochs (`training_logs`) as times and as a learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from nnunetv2_dale.nnunet_files.results.training_logs import epochs_from_logs


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
    folder: Path, fold: str, mean_validation_dice: float | None
) -> tuple[FoldCost, LearningCurve] | None:
    """Return the cost and the learning curve of a fold, or None where no log tells.

    Args:
        folder: the fold's folder (`fold_0`).
        fold: its name.
        mean_validation_dice: of the validation after training, for the figure Dice over time.
    """
    epochs = epochs_from_logs(sorted(folder.glob("training_log*.txt")))
    if not epochs:
        return None
    numbers = sorted(epochs)
    durations = [epochs[number].duration for number in numbers]
    known = [value for value in durations if value is not None]
    complete = all(value is not None for value in durations)
    curve = LearningCurve(
        fold=fold,
        epochs=numbers,
        hours=_cumulated_hours(durations),
        pseudo_dice=[epochs[number].pseudo_dice for number in numbers],
        train_loss=[epochs[number].train_loss for number in numbers],
        validation_loss=[epochs[number].validation_loss for number in numbers],
    )
    cost = FoldCost(
        fold=fold,
        epochs=len(numbers),
        seconds_per_epoch=fmean(known) if known else None,
        hours=curve.hours[-1] if complete else None,
        mean_validation_dice=mean_validation_dice,
    )
    return cost, curve


def _cumulated_hours(durations: Sequence[float | None]) -> list[float | None]:
    hours: list[float | None] = []
    total = 0.0
    for duration in durations:
        if duration is None or (hours and hours[-1] is None):
            hours.append(None)
            continue
        total += duration / 3600
        hours.append(total)
    return hours


def pseudo_dice_at(curve: LearningCurve, hours: float) -> float | None:
    """Return the pseudo Dice of the last epoch that ended within `hours` of training; None if none did."""
    reached = None
    for end, dice in zip(curve.hours, curve.pseudo_dice, strict=True):
        if end is not None and end <= hours + 1e-9 and dice is not None:
            reached = dice
    return reached


def shared_hours(curves_of_runs: Sequence[Sequence[LearningCurve]]) -> float | None:
    """Return the training time that every fold of every run reached; None where a run has no record of time."""
    ends = [curve.hours[-1] for curves in curves_of_runs for curve in curves]
    if not ends or any(end is None for end in ends) or not all(curves_of_runs):
        return None
    return min(end for end in ends if end is not None)
