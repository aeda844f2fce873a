"""Where the voxels of a file lie in the patient, and whether those of another file lie in the same places."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.nnunet_files.placing import TIFF, spacing_file
from nnunetv2_dale.nnunet_files.problems import FileError
from nnunetv2_dale.nnunet_files.volumes import Properties

NO_DEPTH = 999.0  # mm between slices, nnU-Net's word for a picture
_SAME_WITHIN_VOXELS = 0.1  # of the smallest voxel edge; headers are rounded
_SAME_SPACING = 1e-3  # share
Stored = tuple[Sequence[int], Properties]
"""Shape (Z, Y, X) and properties of a file, as nnU-Net's reader returned them."""


@dataclass(frozen=True)
class Grid:
    """The voxels of a file: n axes in the order x, y(, z)."""

    shape: tuple[int, ...]  # voxels along each axis
    origin_mm: NDArray[np.float64]  # centre of the first voxel, (n,), in RAS+
    direction: NDArray[np.float64]  # unit vector along each axis, the columns of (n, n)
    spacing_mm: NDArray[np.float64]  # distance of voxels along each axis, (n,)


@dataclass(frozen=True)
class GridDifference:
    """What differs ("origin", "direction", "spacing"), and how far apart voxels of one index lie at most, in mm."""

    differs: tuple[str, ...]
    apart_mm: float


def grid_of(properties: Mapping[str, Any], shape: Sequence[int]) -> Grid | None:
    """Return the grid in what one of nnU-Net's readers returned beside the voxels; None for formats that store none."""
    if "sitk_stuff" in properties:
        stored = properties["sitk_stuff"]
        axes = len(stored["origin"])
        direction = np.reshape(np.array(stored["direction"], dtype=np.float64), (axes, axes))
        origin, spacing = (np.array(stored[name], dtype=np.float64) for name in ("origin", "spacing"))
        to_ras = np.array([-1.0, -1.0, 1.0, 1.0][:axes])  # SimpleITK's world is LPS+
        origin, direction = to_ras * origin, to_ras[:, None] * direction
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


def affine_of(properties: Mapping[str, Any], shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the 4 × 4 matrix from voxel (x, y, z) to RAS+ mm, NIfTI's world; without a place, its spacing alone."""
    grid, affine = grid_of(properties, shape), np.eye(4)
    if grid is None:
        spacing = np.asarray(properties["spacing"], dtype=np.float64)[::-1]
        affine[:3, :3] = np.diag(np.where(spacing == NO_DEPTH, 1.0, spacing))
    else:
        axes = len(grid.shape)
        affine[:axes, :axes], affine[:axes, 3] = grid.direction * grid.spacing_mm, grid.origin_mm
    return affine


def world_mm(affine: NDArray[np.float64] | Sequence[Sequence[float]], voxel: Sequence[float]) -> list[float]:
    """Return the place (x, y, z) in mm, RAS+, of a voxel (z, y, x)."""
    place = np.asarray(affine) @ np.array([*voxel[::-1], 1.0])
    return [round(float(value), 2) for value in place[:3]]


def grid_difference(grid: Grid | None, other: Grid | None) -> GridDifference | None:
    """Say how two grids of the same shape differ; None where they do not, or where a file stores no grid."""
    if grid is None or other is None or len(grid.shape) != len(other.shape):
        return None
    corners = np.array(list(itertools.product(*((0, size - 1) for size in other.shape))), dtype=np.float64)
    moved = grid.origin_mm - other.origin_mm
    turned = (grid.direction - other.direction) * other.spacing_mm
    stretched = grid.direction * (grid.spacing_mm - other.spacing_mm)
    apart = {
        "origin": np.linalg.norm(moved),
        "direction": np.linalg.norm(corners @ turned.T, axis=1).max(),
        "spacing": np.linalg.norm(corners @ stretched.T, axis=1).max(),
    }
    apart_mm = float(np.linalg.norm(corners @ (turned + stretched).T + moved, axis=1).max())
    tolerance = _SAME_WITHIN_VOXELS * float(other.spacing_mm.min())
    if apart_mm <= tolerance:
        return None
    differs = tuple(name for name, distance in apart.items() if distance > tolerance)
    return GridDifference(differs or (max(apart, key=lambda name: float(apart[name])),), apart_mm)


def require_same_voxels(file: Path, voxels: Stored, other: Path, others: Stored, remedy: str) -> None:
    """Raise a `FileError`, ended by `remedy`, unless a file has the other's number and size of voxels on every axis."""
    for what, found, expected in (
        ("shape", voxels[0], others[0]),
        ("a voxel size in mm of", voxels[1]["spacing"], others[1]["spacing"]),
    ):
        if len(found) != len(expected) or not np.allclose(found, expected, rtol=_SAME_SPACING, atol=0):
            raise FileError(file, f"has {what} {_numbers(found)}, but {other} has {_numbers(expected)}; {remedy}")


def require_same_grid(file: Path, voxels: Stored, other: Path, others: Stored, remedy: str) -> None:
    """`require_same_voxels`, which also lie in the same places of the patient where both files say so.

    A TIFF without a file of its voxel size says nothing of it; nnU-Net would take it for 1 mm.
    """
    if file.suffix.lower() in TIFF and spacing_file(file) is None:
        voxels = voxels[0], others[1]
    require_same_voxels(file, voxels, other, others, remedy)
    difference = grid_difference(grid_of(voxels[1], voxels[0]), grid_of(others[1], others[0]))
    if difference is not None:
        differs = " and ".join(difference.differs)
        raise FileError(file, f"has another {differs} than {other}, {difference.apart_mm:.3g} mm apart; {remedy}")


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def slice_axis(shape: Sequence[int]) -> int:
    """Return the first axis of one voxel; 0 for a volume without any, whose slices are counted along it."""
    return next((axis for axis, size in enumerate(shape) if size == 1), 0)


def axis_first(per_axis: tuple[float, float, float], axis: int) -> tuple[float, float, float]:
    """Return a value of each axis in the order that `np.moveaxis(..., axis, 0)` gives them."""
    first = per_axis[axis]
    second, third = (value for other, value in enumerate(per_axis) if other != axis)
    return first, second, third
