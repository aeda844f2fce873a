"""`smooth`: contours drawn with few clicks, a polygon per slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask
from skimage.measure import find_contours

from nnunetv2_dale.masks.boxes import box_of

_CLOSEST_MM = 1e-9  # no length can be divided by the smallest floats


def coarsen_contours(
    label: NDArray[np.int16], spacing_mm: tuple[float, float, float], click_mm: float, rng: np.random.Generator
) -> NDArray[np.int16]:
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


def _coarse_mask(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, ...], click_mm: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
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
