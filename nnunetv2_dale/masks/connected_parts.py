"""The connected parts of a mask; voxels that touch at a face, an edge or a corner belong together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.masks.boxes import Box


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
