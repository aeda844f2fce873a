"""Where one label meets another, and what lies near a mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def label_edges(labels: Tensor, valid: Tensor | None = None, axes: Sequence[int] | None = None) -> Tensor:
    """Return voxels whose 3^d neighbourhood holds more than one label (before Eq. 4).

    Args:
        labels: (B, 1, *S) label map, or (B, R, *S) region targets, where a change in any region counts.
        valid: (B, 1, *S) bool, False where the label is to be ignored; such voxels are no edges and do not make
            their neighbours edges. None: all count.
        axes: along which a neighbourhood reaches; None: all spatial axes.
    Returns:
        (B, 1, *S) bool. The neighbourhood ends at the image border.
    """
    values = labels.to(torch.int16)
    highest, lowest = values, values
    if valid is not None:
        info = torch.iinfo(torch.int16)
        highest = torch.where(valid, values, info.min)
        lowest = torch.where(valid, values, info.max)
    edges = maximum_of_neighbours(highest, axes) > -maximum_of_neighbours(-lowest, axes)
    edges = edges.any(dim=1, keepdim=True)
    return edges if valid is None else edges & valid


def within(voxels: int, mask: Tensor) -> Tensor:
    """Return (B, 1, *S) bool: at most so many steps from a voxel of a mask, along axes or diagonals."""
    near = mask.to(torch.uint8)
    for _ in range(voxels):
        near = maximum_of_neighbours(near)
    return near.bool()


def maximum_of_neighbours(values: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Return the maximum over each voxel's 3^d neighbourhood, axis by axis; of all spatial axes, or of those given."""
    for axis in range(2, values.ndim) if axes is None else axes:
        inner = values.shape[axis] - 1
        widened = values.clone()
        before, after = widened.narrow(axis, 0, inner), widened.narrow(axis, 1, inner)
        torch.maximum(before, values.narrow(axis, 1, inner), out=before)
        torch.maximum(after, values.narrow(axis, 0, inner), out=after)
        values = widened
    return values
