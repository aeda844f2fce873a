"""Labels as a hurried reader would draw them: boundaries a little off, most where they are hard to see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter

WIGGLE_MM = 16.0  # length along the boundary over which the drawn line wanders
_ANOTHER_SLICE_MM = 1e6  # slices are drawn one by one


def move_boundaries(
    label: npt.NDArray[np.uint8],
    spacing_mm: Sequence[float],
    wander_mm: npt.NDArray[np.float32] | float,
    rng: np.random.Generator,
    wider_mm: float = 0.0,
) -> npt.NDArray[np.uint8]:
    """Move the boundary of every class by a smooth random distance.

    A voxel belongs to the class whose moved boundary it lies deepest inside: with the signed distance d_c to the
    boundary of class c in its slice (negative inside) and a smooth random field n_c of mean 0 and standard deviation 1,
    the moved boundary is where d_c = wider_mm + wander_mm * n_c.

    Args:
        label: (z, y, x), 0 is background.
        spacing_mm: of z, y and x.
        wander_mm: standard deviation of the distance, for all voxels or as an array (z, y, x); 0 returns the label.
        rng: where the randomness comes from.
        wider_mm: how far outside of the true boundary the drawn one lies in the mean.
    Returns:
        (z, y, x); a class that is present stays present.
    """
    steps_mm = (_ANOTHER_SLICE_MM, float(spacing_mm[1]), float(spacing_mm[2]))
    sigma = (0.7, *(WIGGLE_MM / 2 / step for step in steps_mm[1:]))
    half_a_pixel = min(steps_mm) / 2
    moved = np.zeros_like(label)
    deepest = np.zeros(label.shape, dtype=np.float32)
    for value in np.unique(label[label > 0]):
        inside = label == value
        outwards = distance_transform_edt(~inside, sampling=steps_mm) - half_a_pixel
        inwards = distance_transform_edt(np.pad(inside, 1), sampling=steps_mm)[1:-1, 1:-1, 1:-1] - half_a_pixel
        field = gaussian_filter(rng.standard_normal(label.shape, dtype=np.float32), sigma, mode="wrap")
        field = (field - field.mean()) / max(float(field.std()), 1e-6)
        distance = np.where(inside, -inwards, outwards).astype(np.float32) - wander_mm * field - wider_mm
        if not (distance < deepest).any():  # the line has shrunk to nothing: leave the object as it was
            distance = np.where(inside, -np.inf, np.inf)
        moved = np.where(distance < deepest, value, moved)
        deepest = np.minimum(deepest, distance)
    return moved
