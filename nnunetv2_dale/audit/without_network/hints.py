"""What looks wrong without a network: one hint is one kind of error at one place, with its chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnunetv2_dale.audit.findings import Kind
from nnunetv2_dale.audit.null_model import chance_of
from nnunetv2_dale.audit.usual_values import LARGEST_Z, Floats, usual
from nnunetv2_dale.audit.without_network.records import CaseRecord, Voxel

DEGREES = 5.0  # of freedom: nature varies more than networks do
LEAST_CASES = 5  # that have a class, from which one can say what is usual
GROSS = 10.0  # mean deviation of what is wrong, in spreads: small errors do not show without a network
RARE = 0.15  # share of the cases: what as many or more show is a habit, no error
SURE = 0.95  # chance of what no other case shows


@dataclass(frozen=True)
class Hint:
    """One thing that looks wrong."""

    number: int  # of the case
    key: str  # class key; "" for the whole label
    kind: Kind
    chance: float
    voxel: Voxel
    size: float  # in `unit`
    unit: str
    words: str  # the sentence


def high_values(values: Floats, least_spread: float) -> Floats:
    """(N,) the chance that a value is too high to be right; 0 for NaN and where too few values are known."""
    known = np.isfinite(values)
    chance = np.zeros(len(values))
    if known.sum() >= LEAST_CASES:
        middle, spread = usual(values[known], least_spread)
        z = np.clip((values[known] - middle) / spread, -LARGEST_Z, LARGEST_Z)
        chance[known] = chance_of(z, DEGREES, GROSS) * _rarity(np.maximum(z, 0))
    return chance


def rare_amounts(amounts: Sequence[float]) -> Floats:
    """(N,) the chance that an amount is an error, where most cases have none: high if few show as much.

    As much is at least half of it. What `RARE` of the cases show is a habit.
    """
    values = np.asarray(amounts, dtype=np.float64)
    return np.where(values > 0, SURE * _rarity(values), 0.0)


def _rarity(values: Floats) -> Floats:
    """1 for what no other case shows, 0 for what `RARE` of the cases show."""
    others = (values[None] >= values[:, None] / 2).sum(axis=1) - 1
    return np.asarray(np.clip(1 - others / len(values) / RARE, 0, 1))


def volume_of(voxels: int, record: CaseRecord) -> tuple[float, str]:
    """A volume in ml; of a slice an area."""
    size = voxels * float(np.prod(record.spacing_mm[1 if record.planar else 0 :]))
    if record.planar:
        return float(f"{size:.3g}"), f"{record.length}²"
    return float(f"{size / 1000:.3g}"), "ml"
