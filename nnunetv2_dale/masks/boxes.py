"""Bounding boxes of masks and of the values of a label map, as slices of the array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Box = tuple[slice, ...]


def box_of(mask: NDArray[np.bool_], margin: int | Sequence[int] = 0) -> Box | None:
    """Return the box of the True voxels, widened by `margin` voxels (of each axis) and cut at the border.

    None without any.
    """
    box = []
    for axis in range(mask.ndim):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not used.size:
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return box_around([tuple(box)], mask.shape, margin)


def boxes_of_values(labels: NDArray[np.integer]) -> dict[int, Box]:
    """Value → its box, of those above 0 that occur."""
    found = enumerate(ndimage.find_objects(np.maximum(labels, 0)), start=1)
    return {value: box for value, box in found if box is not None}


def box_around(boxes: Iterable[Box], shape: Sequence[int], margin: int | Sequence[int] = 0) -> Box | None:
    """Return the smallest box around several, widened by `margin` and cut at the border of `shape`.

    None around nothing.
    """
    there = list(boxes)
    if not there:
        return None
    margins = np.broadcast_to(margin, len(shape)).tolist()
    return tuple(
        slice(max(0, min(each.start for each in axis) - wide), min(size, max(each.stop for each in axis) + wide))
        for axis, size, wide in zip(zip(*there, strict=True), shape, margins, strict=True)
    )
