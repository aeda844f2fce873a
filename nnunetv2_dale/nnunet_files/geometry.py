"""Where the voxels of a file lie in the patient, and whether those of another file lie in the same places."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAME_WITHIN_VOXELS = 0.1  # of the smallest voxel edge; headers are rounded


@dataclass(frozen=True)
class Grid:
    """The voxels of a file: n axes in the order x, y(, z).

    Attributes:
        shape: voxels along each axis.
        origin_mm: centre of the first voxel, (n,).
        direction: unit vector along each axis, the columns of (n, n).
        spacing_mm: distance of voxels along each axis, (n,).
    """

    shape: tuple[int, ...]
    origin_mm: NDArray[np.float64]
    direction: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]


@dataclass(frozen=True)
class GridDifference:
    """What differs ("origin", "direction"), and how far voxels of the same index lie apart at most, in mm."""

    differs: tuple[str, ...]
    apart_mm: float


def grid_of(properties: Mapping[str, Any], shape: Sequence[int]) -> Grid | None:
    """The grid in what one of nnU-Net's readers returned beside the voxels; None for formats that store none.

    Args:
        properties: the reader's second value.
        shape: (Z, Y, X) of its first.
    """
    if "sitk_stuff" in properties:
        stored = properties["sitk_stuff"]
        axes = len(stored["origin"])
        direction = np.reshape(np.array(stored["direction"], dtype=np.float64), (axes, axes))
        origin, spacing = (np.array(stored[name], dtype=np.float64) for name in ("origin", "spacing"))
    elif "nibabel_stuff" in properties:
        stored = properties["nibabel_stuff"]
        affine = np.array(stored.get("reoriented_affine", stored["original_affine"]), dtype=np.float64)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        direction, origin = affine[:3, :3] / np.where(spacing > 0, spacing, 1), affine[:3, 3]
    else:
        return None
    axes = min(3, len(origin))  # a fourth axis is that of the channels
    sizes = tuple(shape)[::-1][:axes]
    return Grid(sizes, origin[:axes], direction[:axes, :axes], spacing[:axes])


def grid_difference(grid: Grid | None, other: Grid | None) -> GridDifference | None:
    """How two grids of the same shape differ; None where they do not, or where a file stores no grid.

    Spacings are taken from `other`: where they differ, nothing is compared at all (`read_prediction`).
    """
    if grid is None or other is None or len(grid.shape) != len(other.shape):
        return None
    tolerance = _SAME_WITHIN_VOXELS * float(other.spacing_mm.min())
    moved = grid.origin_mm - other.origin_mm
    turned = (grid.direction - other.direction) * other.spacing_mm
    corners = np.array(list(itertools.product(*((0, size - 1) for size in other.shape))), dtype=np.float64)
    parts = {
        "origin": float(np.linalg.norm(moved)),
        "direction": float(np.linalg.norm(corners @ turned.T, axis=1).max()),
    }
    differs = tuple(name for name, apart in parts.items() if apart > tolerance)
    if not differs:
        return None
    return GridDifference(differs, float(np.linalg.norm(corners @ turned.T + moved, axis=1).max()))
