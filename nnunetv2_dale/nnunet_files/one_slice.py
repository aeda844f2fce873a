"""A volume of one slice is a 2D image, along whichever of its axes the slice was taken."""

from __future__ import annotations

from collections.abc import Sequence


def slice_axis(shape: Sequence[int]) -> int:
    """Return the first axis of one voxel; 0 for a volume without any, whose slices are counted along it."""
    return next((axis for axis, size in enumerate(shape) if size == 1), 0)


def axis_first(per_axis: tuple[float, float, float], axis: int) -> tuple[float, float, float]:
    """Return a value of each axis in the order that `np.moveaxis(..., axis, 0)` gives them."""
    first = per_axis[axis]
    second, third = (value for other, value in enumerate(per_axis) if other != axis)
    return first, second, third
