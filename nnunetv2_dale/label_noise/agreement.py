"""How far a noisy label is from the clean one: Dice, HD95, and where it changed."""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.label_noise.foreground import bounding_window


class Change(IntEnum):
    """The values of a map of changed voxels."""

    NONE = 0
    ADDED = 1  # background became foreground
    REMOVED = 2  # foreground became background
    RECLASSIFIED = 3  # one class became another
    UNLABELLED = 4  # became the ignore label


def changes(clean: NDArray[np.int16], noisy: NDArray[np.int16], ignore_label: int | None = None) -> NDArray[np.uint8]:
    """The `Change` of every voxel; two label maps of one shape, 0 is background."""
    result = np.where(clean != noisy, np.uint8(Change.RECLASSIFIED), np.uint8(Change.NONE))
    result[(clean == 0) & (noisy != 0)] = Change.ADDED
    result[(clean != 0) & (noisy == 0)] = Change.REMOVED
    if ignore_label is not None:
        result[(clean != ignore_label) & (noisy == ignore_label)] = Change.UNLABELLED
    return result


def foreground_dice(clean: NDArray[np.bool_], noisy: NDArray[np.bool_]) -> float:
    """2|A and B| / (|A| + |B|) of two masks; 1 where both are empty."""
    total = int(clean.sum()) + int(noisy.sum())
    return 2 * int((clean & noisy).sum()) / total if total else 1.0


def hd95_mm(clean: NDArray[np.bool_], noisy: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float:
    """The larger of the two 95th percentiles of distances from one mask's surface voxels to the other's surface, in mm.

    Surface voxels have a background face neighbour; the image's border is background. Both masks empty: 0. One: NaN.

    Args:
        clean, noisy: (Z, Y, X).
        spacing_mm: of the 3 axes; an axis of one voxel does not count.
    """
    window = bounding_window(clean | noisy, (0, 0, 0))
    if window is None:
        return 0.0
    if not clean.any() or not noisy.any():
        return math.nan
    single = tuple(axis for axis, size in enumerate(clean.shape) if size == 1)
    surfaces = [_surface(mask[window], single) for mask in (clean, noisy)]
    distances = [ndimage.distance_transform_edt(~surface, sampling=spacing_mm) for surface in surfaces]
    there = np.percentile(distances[1][surfaces[0]], 95)
    back = np.percentile(distances[0][surfaces[1]], 95)
    return float(max(there, back))


def _surface(mask: NDArray[np.bool_], single: tuple[int, ...]) -> NDArray[np.bool_]:
    """Voxels with a background neighbour along the axes that are not `single`."""
    inner = ndimage.binary_erosion(mask.squeeze(single), border_value=0)
    surface: NDArray[np.bool_] = mask & ~np.expand_dims(inner, single)
    return surface


def changed_fractions(changed: NDArray[np.bool_], fuzzy: NDArray[np.bool_]) -> tuple[float, float]:
    """The fraction of voxels that changed inside and outside the fuzzy region; NaN where a region has no voxel."""
    inside, outside = changed[fuzzy], changed[~fuzzy]
    return (
        float(inside.mean()) if inside.size else math.nan,
        float(outside.mean()) if outside.size else math.nan,
    )
