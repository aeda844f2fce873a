"""Labels as a hurried reader would draw them: boundaries a little off, most where they are hard to see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter

LabelArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

WIGGLE_MM = 16.0  # length along the boundary over which the drawn line wanders


def move_boundaries(
    label: LabelArray,
    spacing_mm: Sequence[float],
    wander_mm: FloatArray | float,
    rng: np.random.Generator,
    wider_mm: float = 0.0,
) -> LabelArray:
    """Move the boundary of every class by a smooth random distance.

    A voxel belongs to the class whose moved boundary it lies deepest inside: with the signed distance d_c to the
    boundary of class c (negative inside) and a smooth random field n_c of mean 0 and standard deviation 1, the moved
    boundary is where d_c = wider_mm + wander_mm * n_c. Slices are drawn one by one: distances and the field are
    in-plane.

    Args:
        label: (z, y, x), 0 is background.
        spacing_mm: of z, y and x.
        wander_mm: standard deviation of the distance, for all voxels or as an array (z, y, x); 0 returns the label.
        rng: where the randomness comes from.
        wider_mm: how far outside of the true boundary the drawn one lies in the mean.
    Returns:
        (z, y, x); a class that is present stays present.
    """
    in_plane_mm = tuple(float(value) for value in spacing_mm[1:])
    classes = [int(value) for value in np.unique(label) if value != 0]
    moved = np.zeros_like(label)
    deepest = np.zeros(label.shape, dtype=np.float32)
    for value in classes:
        inside = label == value
        distance = np.stack([_signed_distance_mm(part, in_plane_mm) for part in inside])
        distance -= np.asarray(wander_mm, dtype=np.float32) * _smooth_field(label.shape, in_plane_mm, rng)
        distance -= np.float32(wider_mm)
        if not (distance < deepest).any():  # the line has shrunk to nothing: leave the object as it was
            distance = np.where(inside, np.float32(-np.inf), np.float32(np.inf))
        moved = np.where(distance < deepest, np.uint8(value), moved)
        deepest = np.minimum(deepest, distance)
    return moved


def _signed_distance_mm(inside: npt.NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> FloatArray:
    """Distance in mm from the boundary of a 2D mask, negative inside; infinite where the mask is empty."""
    if not inside.any():
        return np.full(inside.shape, np.inf, dtype=np.float32)
    outside = distance_transform_edt(~inside, sampling=spacing_mm)
    within = distance_transform_edt(np.pad(inside, 1), sampling=spacing_mm)[1:-1, 1:-1]
    half_a_pixel = min(spacing_mm) / 2
    signed: FloatArray = np.where(inside, half_a_pixel - within, outside - half_a_pixel).astype(np.float32)
    return signed


def _smooth_field(shape: Sequence[int], in_plane_mm: tuple[float, ...], rng: np.random.Generator) -> FloatArray:
    """Gaussian field of mean 0 and standard deviation 1, smooth over `WIGGLE_MM` in-plane and about a slice deep."""
    sigma = (0.7, *(WIGGLE_MM / 2 / value for value in in_plane_mm))
    field = gaussian_filter(rng.standard_normal(tuple(shape), dtype=np.float32), sigma, mode="wrap")
    standardised: FloatArray = (field - field.mean()) / max(float(field.std()), 1e-6)
    return standardised
