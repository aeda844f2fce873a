"""Labels that go on beyond the scan, where its image was only filled up with one value."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

SHOWN = 5  # cases that a message names


def labelled_padding(image: NDArray[Any], labelled: NDArray[np.bool_]) -> int:
    """How many labelled voxels lie in slices at an end of the volume that hold one value, the same in all of them.

    Args:
        image: any number of axes; each is looked at from both ends.
        labelled: same shape.
    """
    padding = np.zeros(image.shape, bool)
    for axis in range(image.ndim):
        others = tuple(other for other in range(image.ndim) if other != axis)
        lowest, highest = image.min(axis=others), image.max(axis=others)
        along, mask = np.moveaxis(image, axis, 0), np.moveaxis(padding, axis, 0)
        for end, step in ((0, 1), (len(along) - 1, -1)):
            is_value = (lowest[::step] == lowest[end]) & (highest[::step] == lowest[end])
            run = int(np.argmin(is_value)) if not is_value.all() else len(is_value)
            mask[::step][:run] = True
    return int(np.count_nonzero(labelled & padding))


def warn_of_padding(voxels: Mapping[str, int]) -> None:
    """Log the cases, case → `labelled_padding`, whose labels go on in padding; the largest first."""
    found = sorted(((count, case) for case, count in voxels.items() if count), reverse=True)
    if found:
        named = ", ".join(f"{case} ({count} voxels)" for count, case in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        logger.warning("labels go on beyond the scan, where the image is only padding: %s%s; look at them", named, more)
