"""What one case shows of its label by itself, a small record, and what looks wrong beside the others, as hints.

Places are in the patient: (x, y, z) in mm, RAS+, as the file's header has it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.audit.findings import Kind
from nnunetv2_dale.audit.null_model import chance_of
from nnunetv2_dale.statistics.usual_values import LARGEST_Z, Floats, usual

DEGREES = 5.0  # of freedom: nature varies more than networks do
LEAST_CASES = 5  # that have a class, from which one can say what is usual
GROSS = 10.0  # mean deviation of what is wrong, in spreads: small errors do not show without a network
RARE = 0.15  # share of the cases: what as many or more show is a habit, no error
SURE = 0.95  # chance of what no other case shows
Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Part:
    """A connected part of a class: its size, one of its voxels (z, y, x), and its middle."""

    voxels: int
    voxel: Voxel
    middle_mm: Floats


@dataclass(frozen=True)
class Share:
    """How many voxels of a class are so, and one of them; None without any."""

    voxels: int
    voxel: Voxel | None


@dataclass(frozen=True)
class ClassRecord:
    """One class of one case that has it."""

    voxels: int  # its size
    parts: tuple[Part, ...]  # the largest first; those a single voxel apart from others left out
    corners_mm: Floats  # (2, 3) lowest and highest place of the largest part
    cut: bool  # whether it ends where the scan ends, so that more of it may lie outside
    constant: Share  # where the image is constant around: padding
    outside: Share  # outside of the body, in what surrounds it
    contrast: float  # of its border (`border_contrast`); NaN without a border
    # (P, P, P or 1) the image around the middle of its largest part, along x, y and z in steps of some mm
    around: NDArray[np.float32]
    # (V,) how well the label fits the image, moved by each of `intensities.steps` (`intensities.fit`)
    fits: NDArray[np.float32]

    @property
    def middle_mm(self) -> Floats:
        """Of its largest part."""
        return self.parts[0].middle_mm


@dataclass(frozen=True)
class CaseRecord:
    """One case."""

    case: str
    checksum: str
    spacing_mm: tuple[float, ...]
    affine: Floats
    shape: tuple[int, ...]
    classes: dict[str, ClassRecord]  # key → record, of the classes that the label has
    body_mm: Floats  # the middle of what is bright in the image
    corners_mm: Floats  # (2, 3) lowest and highest place of the image
    open_classes: Collection[str] = ()  # keys of the classes that nobody annotated in it; they are not among `classes`

    @property
    def planar(self) -> bool:
        return self.shape[0] == 1


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
