"""Contours that move: `dilate` and `erode` by a distance in mm, `shift`, and `smooth`, drawn with few clicks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.measure import find_contours

from nnunetv2_dale.label_noise.random_streams import smooth_uniform
from nnunetv2_dale.masks.boxes import box_of
from nnunetv2_dale.masks.overlap import Mask

_CLOSEST_MM = 1e-9  # no length can be divided by the smallest floats
Labels = NDArray[np.int16]
Spacing = tuple[float, float, float]


def with_foreground(label: Labels, foreground: Mask, spacing_mm: Spacing) -> Labels:
    """Return the label (Z, Y, X) whose foreground is `foreground` instead of `label > 0`.

    Voxels that leave the foreground become background (0); voxels that join it get the class of the nearest foreground
    voxel of `label`, in mm; all others keep their class. So borders between two classes stay where they are.
    """
    result = np.where(foreground, label, np.int16(0))
    joined = foreground & (label == 0)
    window = box_of(foreground | (label > 0))
    if window is None or not joined.any():
        return result
    classes = np.unique(label[window])
    classes = classes[classes > 0]
    if classes.size == 1:
        result[joined] = classes[0]
        return result
    nearest = ndimage.distance_transform_edt(
        label[window] == 0, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    inner = joined[window]
    result[window][inner] = label[window][tuple(index[inner] for index in nearest)]
    return result


def dilate(label: Labels, spacing_mm: Spacing, radius_mm: float, rng: np.random.Generator) -> Labels:
    """Move the contour outwards by `radius_mm`: {x: d(x) - h(x) u(x) <= radius}, d the distance to the foreground.

    d goes from voxel centre to voxel centre and h is the voxel's size along that way, both in mm; u is a smooth random
    field, uniform on [0, 1). So a radius between two voxels is rounded at random, in patches, and the mean displacement
    is the radius. Growth is monotone in the radius, and radius 0 changes nothing.
    """
    foreground = label > 0
    return with_foreground(label, foreground | _reached(foreground, spacing_mm, radius_mm, rng), spacing_mm)


def erode(label: Labels, spacing_mm: Spacing, radius_mm: float, rng: np.random.Generator) -> Labels:
    """Move the contour inwards by `radius_mm`: the background is dilated, see `dilate`.

    What lies beyond the image's border is not background: a structure that is cut by the border is not eroded there.
    Structures thinner than twice the radius vanish.
    """
    foreground = label > 0
    return with_foreground(
        label, foreground & ~_reached(~foreground, spacing_mm, radius_mm, rng, foreground), spacing_mm
    )


def _reached(
    source: Mask, spacing_mm: Spacing, radius_mm: float, rng: np.random.Generator, wanted: Mask | None = None
) -> Mask:
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


def shift(label: Labels, spacing_mm: Spacing, distance_mm: float, rng: np.random.Generator) -> Labels:
    """Move all foreground by `distance_mm` in a random direction.

    The direction is uniform on the sphere, for a single slice on the circle. Each component is rounded at random to
    whole voxels, up with the probability of its fraction, so the expected displacement is exact also below a voxel.
    What leaves the image is lost; what enters is background.
    """
    direction = rng.standard_normal(3)
    rounding = rng.random(3)
    if label.shape[0] == 1:
        direction[0] = 0.0
    direction /= np.linalg.norm(direction)
    offsets = np.floor(distance_mm * direction / np.asarray(spacing_mm) + rounding).astype(int)
    if distance_mm <= 0:
        return label.copy()
    if label.shape[0] == 1:
        offsets[0] = 0
    result = np.zeros_like(label)
    target, source = [], []
    for offset, size in zip(offsets.tolist(), label.shape, strict=True):
        target.append(slice(max(0, offset), max(0, size + min(0, offset))))
        source.append(slice(max(0, -offset), max(0, size - max(0, offset))))
    result[tuple(target)] = label[tuple(source)]
    return result


def coarsen_contours(label: Labels, spacing_mm: Spacing, click_mm: float, rng: np.random.Generator) -> Labels:
    """Replace every contour of every class, slice by slice along axis 0, by a polygon with a corner each `click_mm`.

    Corners lie on the old contour, at equal distances along it from a random start, at least three. Holes stay holes. A
    voxel belongs to the polygon its centre is in; where polygons of two classes overlap, the higher class wins. Parts
    too small for a triangle around a voxel centre vanish.
    """
    result = label.copy()
    if click_mm <= 0:
        return result
    for z in range(label.shape[0]):
        window = box_of(label[z] > 0)
        if window is None:
            continue
        old, new = label[z][window], np.zeros_like(label[z][window])
        for value in np.unique(old[old > 0]):
            new[_coarse_mask(old == value, spacing_mm[1:], click_mm, rng)] = value
        result[z][window] = new
    return result


def _coarse_mask(mask: Mask, spacing_mm: tuple[float, ...], click_mm: float, rng: np.random.Generator) -> Mask:
    coarse = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), bool)
    for contour in find_contours(np.pad(mask, 1).astype(np.float64), 0.5):
        corners = _click(contour, spacing_mm, click_mm, float(rng.random()))
        # exclusive or: a contour inside another one is a hole
        coarse ^= polygon2mask(coarse.shape, corners)
    return coarse[1:-1, 1:-1]


def _click(
    contour: NDArray[np.float64], spacing_mm: tuple[float, ...], click_mm: float, start: float
) -> NDArray[np.float64]:
    """(N, 2) corners at equal distances along a closed contour (M, 2); `start` in [0, 1) is where the first one lies.

    Clicks closer together than the contour's own points leave it as it is.
    """
    lengths = np.linalg.norm(np.diff(contour, axis=0) * np.asarray(spacing_mm), axis=1)
    travelled = np.concatenate([[0.0], np.cumsum(lengths)])
    number = max(3, round(travelled[-1] / max(click_mm, _CLOSEST_MM)))
    if number >= len(contour) - 1:
        return contour
    clicks = (np.arange(number) + start) / number * travelled[-1]
    return np.stack([np.interp(clicks, travelled, contour[:, axis]) for axis in range(2)], axis=1)
