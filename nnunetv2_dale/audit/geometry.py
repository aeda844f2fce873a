"""Where a voxel is in the world, and volumes written where the image is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

NO_DEPTH = 999.0  # mm between slices, nnU-Net's word for a picture


def affine_of(properties: Mapping[str, Any]) -> NDArray[np.float64]:
    """The 4 × 4 matrix from voxel (x, y, z) to RAS+ mm, NIfTI's world, of what nnU-Net's readers return.

    A picture without geometry has its spacing alone.

    Args:
        properties: of `read_seg` or `read_images`.
    """
    if "nibabel_stuff" in properties:
        stored = properties["nibabel_stuff"]
        return np.asarray(stored.get("reoriented_affine", stored["original_affine"]), dtype=np.float64)
    affine = np.eye(4)
    if "sitk_stuff" not in properties:
        spacing = np.asarray(properties["spacing"], dtype=np.float64)
        spacing[0] = 1.0 if spacing[0] == NO_DEPTH else spacing[0]
        affine[:3, :3] = np.diag(spacing[::-1])
        return affine
    stored = properties["sitk_stuff"]
    all_axes, axes = len(stored["spacing"]), min(3, len(stored["spacing"]))  # a fourth are channels
    direction = np.asarray(stored["direction"], dtype=np.float64).reshape(all_axes, all_axes)[:axes, :axes]
    to_ras = np.diag([-1.0, -1.0, 1.0][:axes])  # SimpleITK's world is LPS+
    affine[:axes, :axes] = to_ras @ direction @ np.diag(stored["spacing"][:axes])
    affine[:axes, 3] = to_ras @ np.asarray(stored["origin"][:axes], dtype=np.float64)
    return affine


def world_mm(affine: NDArray[np.float64] | Sequence[Sequence[float]], voxel: Sequence[float]) -> list[float]:
    """The place (x, y, z) in mm, RAS+, of a voxel (z, y, x)."""
    place = np.asarray(affine) @ np.array([*voxel[::-1], 1.0])
    return [round(float(value), 2) for value in place[:3]]


def write_volume(array: NDArray[Any], affine: NDArray[np.float64], file: Path) -> None:
    """Write (Z, Y, X) as NIfTI with the image's geometry, which 3D Slicer and ITK-SNAP lay over the image."""
    image = nibabel.Nifti1Image(array.transpose(2, 1, 0), affine)  # x first in memory, as in the file
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, file)
