"""`dilate` and `erode`: the whole contour moves outwards or inwards by a distance in mm."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.label_noise.foreground import with_foreground
from nnunetv2_dale.label_noise.random_streams import smooth_uniform
from nnunetv2_dale.masks.boxes import box_of


def dilate(
    label: NDArray[np.int16], spacing_mm: tuple[float, float, float], radius_mm: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Move the contour outwards by `radius_mm`: {x: d(x) - h(x) u(x) <= radius}, d the distance to the foreground.

    d goes from voxel centre to voxel centre and h is the voxel's size along that way, both in mm; u is a smooth random
    field, uniform on [0, 1). So a radius between two voxels is rounded at random, in patches, and the mean displacement
    is the radius. Growth is monotone in the radius, and radius 0 changes nothing.
    """
    foreground = label > 0
    return with_foreground(label, foreground | _reached(foreground, spacing_mm, radius_mm, rng), spacing_mm)


def erode(
    label: NDArray[np.int16], spacing_mm: tuple[float, float, float], radius_mm: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Move the contour inwards by `radius_mm`: the background is dilated, see `dilate`.

    What lies beyond the image's border is not background: a structure that is cut by the border is not eroded there.
    Structures thinner than twice the radius vanish.
    """
    foreground = label > 0
    return with_foreground(
        label, foreground & ~_reached(~foreground, spacing_mm, radius_mm, rng, foreground), spacing_mm
    )


def _reached(
    source: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    radius_mm: float,
    rng: np.random.Generator,
    wanted: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Voxels within `radius_mm` of `source`; `wanted` bounds where they are looked for (default: all around it)."""
    reached = np.zeros_like(source)
    margin = [1 if wanted is not None else math.ceil(radius_mm / spacing) + 1 for spacing in spacing_mm]
    window = box_of(source if wanted is None else wanted, margin)
    if window is None or radius_mm <= 0 or not source[window].any():
        return reached
    distance, nearest = ndimage.distance_transform_edt(~source[window], sampling=spacing_mm, return_indices=True)
    voxel_mm = np.zeros_like(distance)
    for axis, (index, spacing) in enumerate(zip(nearest, spacing_mm, strict=True)):
        position = np.arange(index.shape[axis]).reshape([-1 if other == axis else 1 for other in range(3)])
        voxel_mm += ((index - position) * spacing) ** 2 * spacing
    voxel_mm /= np.maximum(distance, min(spacing_mm)) ** 2
    reached[window] = distance - voxel_mm * smooth_uniform(source.shape, window, spacing_mm, rng) <= radius_mm
    return reached
