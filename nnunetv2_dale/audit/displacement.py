"""How a label's surface lies to the referees': wider, narrower or shifted, in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.masks.overlap import Mask, dice
from nnunetv2_dale.masks.surface import SurfacePair, surface_pair

QUANTILES = np.linspace(0.0, 1.0, 21)


@dataclass(frozen=True)
class Displacement:
    """The signed distances between two surfaces, each face counted by its area; positive: the label is wider."""

    mean_mm: float  # mean over both surfaces
    absolute_mm: float  # mean without sign
    quantiles_mm: tuple[float, ...]  # at every 5 % of the area, from the most negative to the most positive
    # from the middle of the referees' object to the middle of the label's, along the array's axes
    shift_mm: tuple[float, ...]
    dice: float  # of the two masks
    # the same when the label is moved back by `shift_mm`; equal to `dice` where the shift is below half a voxel
    dice_moved: float
    # voxel at which the label lies farthest outside and farthest inside, or None where it nowhere does
    widest: tuple[int, ...] | None
    narrowest: tuple[int, ...] | None


def displacement(label: Mask, referees: Mask, spacing_mm: Sequence[float]) -> Displacement | None:
    """Compare one class's mask in the label with the referees'.

    Args:
        label, referees: bool, 2 or 3 axes, cropped around both; leave out components that the other lacks.
    Returns:
        None where a mask has no surface.
    """
    pair = surface_pair(label, referees, spacing_mm)
    if pair is None:
        return None
    distances, areas = pair.distances_mm, pair.areas_mm2
    shift_voxels = middle(label) - middle(referees)
    overlap = dice_moved = dice(label, referees)
    if np.abs(shift_voxels).max() > 0.5:
        moved = ndimage.shift(label.astype(np.float32), -shift_voxels, order=1, prefilter=False)
        dice_moved = max(overlap, dice(moved >= 0.5, referees))
    return Displacement(
        mean_mm=pair.mean_mm,
        absolute_mm=float(np.average(np.abs(distances), weights=areas)),
        quantiles_mm=_quantiles(distances, areas),
        shift_mm=tuple((shift_voxels * np.asarray(spacing_mm)).tolist()),
        dice=overlap,
        dice_moved=dice_moved,
        widest=_extreme(pair, +1),
        narrowest=_extreme(pair, -1),
    )


def middle(mask: Mask) -> NDArray[np.float64]:
    """Return the mean index of a mask's voxels along each axis; on large masks faster than SciPy's center_of_mass."""
    others = ((*range(axis), *range(axis + 1, mask.ndim)) for axis in range(mask.ndim))
    counts = [np.count_nonzero(mask, axis=each) for each in others]
    return np.array([np.average(np.arange(len(each)), weights=each) for each in counts])


def _quantiles(distances: NDArray[np.float64], areas: NDArray[np.float64]) -> tuple[float, ...]:
    """The smallest distance below which lies each share of the area (NumPy's weighted quantiles came with 2.0)."""
    order = np.argsort(distances)
    shares = np.cumsum(areas[order]) / areas.sum()
    places = np.minimum(np.searchsorted(shares, QUANTILES - 1e-9), len(order) - 1)
    return tuple(float(value) for value in distances[order][places])


def _extreme(pair: SurfacePair, sign: int) -> tuple[int, ...] | None:
    """The voxel outside of one mask and inside of the other where they are farthest apart."""
    best, place = 0.0, None
    candidates = (
        (pair.first_mm, pair.first.inside if sign > 0 else pair.first.outside),
        (pair.second_mm, pair.second.outside if sign > 0 else pair.second.inside),
    )
    for distances, voxels in candidates:
        number = int(np.argmax(sign * distances))
        if sign * distances[number] > best:
            best, place = sign * float(distances[number]), voxels[number]
    return None if place is None else tuple(int(index) for index in place)
