"""The numbers of an iteration, and what an epoch's log says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from nnunetv2_dale.dale.phased_step import Phases
from nnunetv2_dale.dale.step_record import HISTOGRAM_BINS, AlternatingRecord, StepRecord

SCALARS = tuple(spec.name for spec in fields(AlternatingRecord) if spec.name != "confidence_histogram")
SHARE, COST = "share", "plain_iterations"  # of the epoch: batches that were Algorithm 1, and the mean batch's cost
NUMBERS = (SHARE, COST, *(name for name in SCALARS if name != "loss"))


def numbers_of(record: StepRecord) -> Tensor:
    """Return the scalars of `SCALARS`, then the histogram, NaN for what is lacking, in one tensor."""
    nothing = torch.full((), torch.nan, device=record.loss.device)
    given = {name: value for name, value in vars(record).items() if value is not None}
    scalars = torch.stack([given.get(name, nothing).float() for name in SCALARS])
    return torch.cat([scalars, given.get("confidence_histogram", nothing.expand(HISTOGRAM_BINS))])


def numbers_of_epoch(
    outputs: Sequence[dict[str, Any]], over_ranks: bool, cost_of_algorithm: float
) -> tuple[dict[str, float], list[float]]:
    """Return means over those of an epoch's iterations (and ranks) that have the number; of `non_finite` the sum.

    Args:
        outputs: of the trainer's iterations, with the array of `numbers_of` under "dale".
        over_ranks: average over the ranks of the default process group.
        cost_of_algorithm: of an iteration of Algorithm 1, in plain ones.
    Returns:
        the numbers named in `NUMBERS`, NaN where no iteration has them; and the mean histogram of ω.
    """
    values = of_all_ranks([output["dale"] for output in outputs], over_ranks)
    means = means_of_what_is_there(values)
    numbers = dict(zip(SCALARS, means[: len(SCALARS)].tolist(), strict=True))
    split = ~np.isnan(values[:, SCALARS.index("non_fuzzy_loss")])
    numbers["non_finite"] = float(np.nansum(values[:, SCALARS.index("non_finite")])) * len(outputs) / len(values)
    numbers[SHARE] = float(split.mean())
    numbers[COST] = 1 + numbers[SHARE] * (cost_of_algorithm - 1)
    return {name: numbers[name] for name in NUMBERS}, [round(part, 3) for part in means[len(SCALARS) :].tolist()]


def of_all_ranks(rows: Sequence[NDArray[np.float32]], over_ranks: bool) -> NDArray[np.float32]:
    """Return (iterations, numbers) of an epoch, with those of the process group's other ranks."""
    values = np.stack(rows)
    if not over_ranks:
        return values
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, values)
    return np.concatenate(gathered)


def on_host(*scalars: Tensor) -> NDArray[np.float32]:
    """Return the values of scalars on a device, with one wait for all of them."""
    values: NDArray[np.float32] = torch.stack([scalar.detach().float() for scalar in scalars]).cpu().numpy()
    return values


def means_by_name(rows: Sequence[NDArray[np.float32]], names: Sequence[str], over_ranks: bool) -> dict[str, float]:
    """Return the means of an epoch's numbers, see `of_all_ranks` and `means_of_what_is_there`."""
    return dict(zip(names, means_of_what_is_there(of_all_ranks(rows, over_ranks)).tolist(), strict=True))


def means_of_what_is_there(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean of each column, over the rows that have it; NaN where none does.

    Args:
        values: (iterations, numbers), NaN where an iteration does not have the number.
    """
    known = ~np.isnan(values)
    sums = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64)
    return np.where(known.any(axis=0), sums / known.sum(axis=0).clip(min=1), np.nan)


def plan_in_words(phases: Phases, every: int, batches: int) -> str:
    """Say which batches of a training Algorithm 1 is to take."""
    which = {1: "every one", 2: "every second", 3: "every third"}.get(every, f"every {every}th")
    once = ", once every class is learned" if phases.watches else ""
    rest = "" if every == 1 and not phases.watches else "; the others are plain nnU-Net"
    return f"Algorithm 1 in batches {phases.first} to {phases.end} of {batches}, {which}{once}{rest}"


def algorithm_in(shares: Sequence[float], iterations: int, batches: int) -> tuple[str, int]:
    """Say in how many batches of a training Algorithm 1 was, in words and as a number.

    Args:
        shares: of each epoch, NaN where it is not known.
        iterations: of an epoch.
        batches: of the whole training.
    """
    taken, unknown = round(float(np.nansum(shares)) * iterations), int(np.isnan(shares).sum())
    words = f"Algorithm 1 in {taken} of {batches} batches"
    # what was not recorded may have been Algorithm 1
    return (f"of what is recorded {words}", max(taken, unknown)) if unknown else (words, taken)


def doubted_in(means: Sequence[float], groups: Sequence[str]) -> tuple[str, int]:
    """Say in how many epochs of a training cases were down-weighted, in words and as a number.

    Args:
        means: of the trust of the cases, per epoch; NaN where there is none.
        groups: what the last look for groups found, a sentence for each.
    """
    epochs = sum(mean < 1 for mean in means)
    last = f", at the end {', '.join(groups)}" if groups else ""
    return f"cases were down-weighted in {epochs} of {len(means)} epochs{last}", epochs


def outcome(*parts: tuple[str, int]) -> str:
    """Return what of a method a training had, each part in words and as a number; without any it was plain nnU-Net."""
    plain = "" if any(number for _, number in parts) else ": this is plain nnU-Net"
    return "; ".join(words for words, _ in parts) + plain
