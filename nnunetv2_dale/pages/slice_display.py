"""How a slice of an image is shown: its grey window, which slices to look at, and contours drawn over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

CT_WINDOWS_HU = {"soft tissue": (-160.0, 240.0), "lung": (-1350.0, 150.0), "bone": (-500.0, 1300.0)}
"""Radiologists' usual windows as (lowest, highest) Hounsfield unit shown."""

CONTOUR_COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#0072B2")
"""Okabe and Ito's palette for colour-blind readers, in the order that stands out best on grey images."""

_AIR_BELOW_HU = -950.0
_LUNG_BELOW_HU = -500.0
_BONE_ABOVE_HU = 300.0


def display_range(image: NDArray[Any], is_ct: bool, region: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Return the intensities to show as black and as white.

    CT in Hounsfield units gets a radiological window, chosen by its content: lung (bone) where more than half of the
    voxels that are looked at, and are not air around the body, are lung (bone), else soft tissue. A "CT" with nothing
    between the ends of its window (8-bit or normalised intensities) is treated like any other image: from the 0.5th to
    the 99.5th percentile of its foreground, the voxels above its minimum.

    Args:
        image: any shape; voxels that are not finite do not count.
        is_ct: whether the intensities are Hounsfield units.
        region: bool, shape of `image`: where to look, such as the neighbourhood of a lesion; None is everywhere.
    Returns:
        (low, high) with low < high; a constant image of value v gives (v, v + 1).
    """
    finite = np.isfinite(image)
    if is_ct:
        looked_at = image[finite if region is None or not region.any() else finite & region]
        window = _ct_window(looked_at[looked_at > _AIR_BELOW_HU])
        if window is not None:
            return window
    values = image[finite].astype(np.float64, copy=False)
    if values.size == 0 or values.min() == values.max():
        constant = float(values[0]) if values.size else 0.0
        return constant, constant + 1.0
    low, high = np.percentile(values[values > values.min()], (0.5, 99.5))
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)


def _ct_window(body_hu: NDArray[Any]) -> tuple[float, float] | None:
    if body_hu.size == 0:
        return None
    if np.mean(body_hu < _LUNG_BELOW_HU) > 0.5:
        name = "lung"
    elif np.mean(body_hu > _BONE_ABOVE_HU) > 0.5:
        name = "bone"
    else:
        name = "soft tissue"
    low, high = CT_WINDOWS_HU[name]
    used = np.clip(np.percentile(body_hu, (1, 99)), low, high)
    return (low, high) if used[1] - used[0] > 0.05 * (high - low) else None


def slices_that_matter(label: NDArray[Any], fuzzy: NDArray[Any] | None = None) -> list[int]:
    """Return indices along axis 0 of the slice with most foreground and the slice that is most fuzzy.

    Args:
        label: (Z, Y, X), or (Y, X), which has one slice; foreground is above 0. Mask the ignore label out first.
        fuzzy: same shape: mask or map in [0, 1]; its sum over a slice says how fuzzy the slice is. None leaves it out.
    Returns:
        one or two indices in ascending order. Without any foreground or fuzziness: the middle slice.
    Raises:
        ValueError: the shapes differ, or the label has neither 2 nor 3 axes.
    """
    if label.ndim not in (2, 3) or (fuzzy is not None and fuzzy.shape != label.shape):
        other = "" if fuzzy is None else f" and fuzziness of shape {fuzzy.shape}"
        raise ValueError(
            f"expected a label of 2 or 3 axes and fuzziness of its shape, got a label of {label.shape}{other}"
        )
    if label.ndim == 2:
        return [0]
    amounts = [(label > 0).sum(axis=(1, 2), dtype=np.float64)]
    if fuzzy is not None:
        amounts.append(fuzzy.sum(axis=(1, 2), dtype=np.float64))
    chosen = {middle_maximum(amount) for amount in amounts if amount.max() > 0}
    return sorted(chosen) or [label.shape[0] // 2]


def middle_maximum(amount: NDArray[np.float64]) -> int:
    """Return the index of the maximum; of several equal ones, as inside a fuzziness patch, the middle one."""
    equal = np.flatnonzero(amount == amount.max())
    return int(equal[len(equal) // 2])


def draw_slice(
    axes: Axes,
    image_slice: NDArray[Any],
    spacing_mm: Sequence[float],
    contours: Mapping[str, NDArray[Any]] | None = None,
    value_range: tuple[float, float] | None = None,
) -> list[LineCollection]:
    """Show one slice in its true proportions, with the outlines of masks over it.

    Outlines follow the edges between pixels, so that what is in and what is out can be read off, and carry a dark rim
    that keeps them visible on white.

    Args:
        axes: where to draw; its ticks are removed.
        image_slice: (Y, X) grey, or (Y, X, 3) colour.
        spacing_mm: (row, column) distance of pixels; of three values the last two count.
        contours: name → (Y, X) mask or label map, in the order of `CONTOUR_COLOURS`; outlined is each value but 0.
        value_range: intensities for black and white; None uses `display_range` for an image that is not CT.
    Returns:
        one artist per name, with the name as its label: the handles of a legend. An empty mask has an empty outline.
    Raises:
        ValueError: the slice is neither grey nor RGB, or a mask has another shape.
    """
    if image_slice.ndim != 2 and not (image_slice.ndim == 3 and image_slice.shape[2] == 3):
        raise ValueError(f"expected a slice of shape (Y, X) or (Y, X, 3), got {image_slice.shape}")
    row_mm, column_mm = tuple(spacing_mm)[-2:]
    low, high = value_range or display_range(image_slice, is_ct=False)
    shown = np.clip((image_slice.astype(np.float32) - low) / (high - low), 0.0, 1.0)
    axes.imshow(shown, cmap="gray", vmin=0.0, vmax=1.0, aspect=row_mm / column_mm, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    handles = []
    for number, (name, mask) in enumerate((contours or {}).items()):
        if mask.shape != image_slice.shape[:2]:
            raise ValueError(f"expected contour {name!r} of shape {image_slice.shape[:2]}, got {mask.shape}")
        handles.append(_draw_outline(axes, mask, name, CONTOUR_COLOURS[number % len(CONTOUR_COLOURS)]))
    return handles


def _draw_outline(axes: Axes, mask: NDArray[Any], name: str, colour: str) -> LineCollection:
    rim = [patheffects.Stroke(linewidth=2.4, foreground="black", alpha=0.6), patheffects.Normal()]
    outline = LineCollection(
        list(pixel_outline(mask)), colors=colour, linewidths=1.3, label=name, path_effects=rim, capstyle="projecting"
    )
    axes.add_collection(outline, autolim=False)
    return outline


def pixel_outline(mask: NDArray[Any]) -> NDArray[np.float64]:
    """Return the line segments along the edges between the pixels inside and outside a mask, or of unequal values of a
    label map.

    Args:
        mask: (Y, X) bool or integers; 0 lies around it.
    Returns:
        (N, 2, 2): N segments of two points (x, y), where pixel (row, column) covers column ± 0.5 and row ± 0.5.
        Straight runs of edges are one segment each.
    """
    inside = np.pad(mask, 1).astype(np.int32)
    horizontal = _runs(np.diff(inside, axis=0)[:, 1:-1] != 0)
    vertical = _runs((np.diff(inside, axis=1)[1:-1] != 0).T)[:, :, ::-1]
    return np.concatenate([horizontal, vertical]) - 0.5


def _runs(edges: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, 2, 2) end points (x, y) of the runs of True along the rows of `edges`."""
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    points = np.stack([starts, rows, ends, rows], axis=1).astype(np.float64)
    return points.reshape(-1, 2, 2)
