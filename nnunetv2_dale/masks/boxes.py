"""Connected parts of masks, and the boxes of masks and of the values of a label map, as slices of the array.

Voxels that touch at a face, an edge or a corner belong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Box = tuple[slice, ...]


def box_of(mask: NDArray[np.bool_], margin: int | Sequence[int] = 0) -> Box | None:
    """Return the box of the True voxels, widened by `margin` voxels (of each axis) and cut at the border.

    None without any.
    """
    return box_around(ndimage.find_objects(mask.view(np.int8)), mask.shape, margin)


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


def numbered_parts(mask: NDArray[np.bool_]) -> tuple[NDArray[np.integer], int]:
    """(the number of each voxel's part, 0 outside of the mask; how many parts there are)."""
    numbered, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return numbered, count


def connected_parts(mask: NDArray[np.bool_]) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    """Each part as its box and the mask in that box, in the order of their first voxels."""
    numbered, count = numbered_parts(mask)
    for number, box in enumerate(ndimage.find_objects(numbered, count), start=1):
        part: NDArray[np.bool_] = numbered[box] == number
        yield box, part
