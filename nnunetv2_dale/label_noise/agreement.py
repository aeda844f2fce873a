"""How far a noisy label is from the clean one: HD95, and where it changed."""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.masks.boxes import box_of
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.masks.voxel_surface import surface_distances


class Change(IntEnum):
    """The values of a map of changed voxels."""

    NONE = 0
    ADDED = 1  # background became foreground
    REMOVED = 2  # foreground became background
    RECLASSIFIED = 3  # one class became another
    UNLABELLED = 4  # became the ignore label


def changes(clean: NDArray[np.int16], noisy: NDArray[np.int16], ignore_label: int | None = None) -> NDArray[np.uint8]:
    """Return the `Change` of every voxel; two label maps of one shape, 0 is background."""
    result = np.where(clean != noisy, np.uint8(Change.RECLASSIFIED), np.uint8(Change.NONE))
    result[(clean == 0) & (noisy != 0)] = Change.ADDED
    result[(clean != 0) & (noisy == 0)] = Change.REMOVED
    if ignore_label is not None:
        result[(clean != ignore_label) & (noisy == ignore_label)] = Change.UNLABELLED
    return result


def hd95_mm(clean: Mask, noisy: Mask, spacing_mm: tuple[float, float, float]) -> float:
    """Return the report's HD95 of two masks, in mm. Both masks empty: 0. One: NaN."""
    box = box_of(clean | noisy)
    if box is None:
        return 0.0
    single = tuple(axis for axis, size in enumerate(clean.shape) if size == 1)
    in_mm = [step for axis, step in enumerate(spacing_mm) if axis not in single]
    distances = surface_distances(clean[box].squeeze(single), noisy[box].squeeze(single), in_mm)
    found = None if distances is None else distances.hausdorff_95()
    return math.nan if found is None else found


def changed_fractions(changed: Mask, fuzzy: Mask) -> tuple[float, float]:
    """Return fraction of voxels that changed inside and outside the fuzzy region; NaN where a region has no voxel."""
    inside, outside = changed[fuzzy], changed[~fuzzy]
    return (float(inside.mean()) if inside.size else math.nan, float(outside.mean()) if outside.size else math.nan)
