"""The panels of a case's picture: a row for a slice and a patch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
from numpy.typing import NDArray

from nnunetv2_dale.masks.boxes import box_of
from nnunetv2_dale.pages.slice_display import CONTOUR_COLOURS, display_range, draw_slice
from nnunetv2_dale.preview.picture_frame import MAP_COLOURS
from nnunetv2_dale.preview.picture_maps import PatchMaps, PictureSettings
from nnunetv2_dale.preview.preview_case import PreviewCase

OUTLINE = CONTOUR_COLOURS[5]  # vermilion: seen on grey and on every colour of the maps
DOUBT = LinearSegmentedColormap.from_list("doubt", [(0, 0, 0, 0), (0, 0, 0, 1)])  # black where nothing is trusted
_FUZZY_OUTLINE = "#ffffff"


def intensity_range(
    case: PreviewCase, classes: NDArray[np.int16] | None, settings: PictureSettings
) -> tuple[float, float]:
    """Choose the intensities drawn black and white; on CT a window that shows the labelled region."""
    if settings.colour:
        picture = case.image[:3]
        return (
            (0.0, 255.0) if picture.min() >= 0 and picture.max() > 1 else (float(picture.min()), float(picture.max()))
        )
    region = None if classes is None or not case.is_ct else _box_around(classes > 0)
    return display_range(case.image[settings.channel], case.is_ct, region)


def _box_around(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The bounding box of a mask: where the CT window has to fit. None without foreground."""
    box = box_of(mask)
    if box is None:
        return None
    inside = np.zeros_like(mask)
    inside[box] = True
    return inside


def draw_row(
    panels: Sequence[Axes],
    case: PreviewCase,
    classes: NDArray[np.int16] | None,
    z: int,
    number: int,
    maps: PatchMaps,
    value_range: tuple[float, float],
    settings: PictureSettings,
) -> None:
    """Draw the nine panels of a slice, in the order of `picture.TITLES`.

    Args:
        classes: (Z, Y, X), the case's label without the ignore label; None leaves label and edges empty.
        z: the slice in the case, `number` in the maps, which are those of the row's patch size.
        value_range: of `intensity_range`.
    """
    channels = slice(0, 3) if settings.colour else slice(settings.channel, settings.channel + 1)
    picture = np.moveaxis(case.image[channels, z], 0, -1)
    picture = picture if settings.colour else picture[..., 0]
    outline = {} if classes is None else {"foreground": classes[z] > 0}
    m = maps.m[number]
    fuzzy = m >= settings.tau
    mask_fuzzy = np.where(m > settings.tau, 1.0, m)
    mask_clear = np.where(m < settings.tau, 1.0, 0.0)  # tau - m is below 0 there, and clamped where it multiplies
    neutral = _neutral_value(case, classes, settings)

    draw_slice(panels[0], picture, case.spacing_mm, {}, value_range)
    draw_slice(panels[1], picture, case.spacing_mm, {}, value_range)
    if classes is None:
        _write_instead(panels[1], "no label")
    else:
        _lay_classes_over(panels[1], classes[z], settings, case.spacing_mm)
    if case.confidence is not None:
        doubted = np.ma.masked_equal(1 - case.confidence[z], 0)  # darker where the label is trusted less
        aspect = case.spacing_mm[-2] / case.spacing_mm[-1]
        panels[1].imshow(doubted, cmap=DOUBT, vmin=0, vmax=1, alpha=0.8, aspect=aspect, interpolation="nearest")
    for axes, values in ((panels[2], maps.entropy), (panels[3], maps.edges), (panels[4], maps.m)):
        shown = {**outline, "fuzzy": fuzzy} if axes is panels[4] else outline
        _draw_map(axes, values[number], case.spacing_mm, shown)
    if classes is None:
        _write_instead(panels[3], "no label")
    _draw_map(panels[5], mask_fuzzy, case.spacing_mm, outline)
    _draw_map(panels[6], mask_clear, case.spacing_mm, outline)
    for axes, mask in ((panels[7], mask_fuzzy), (panels[8], mask_clear)):
        weight = mask[..., None] if settings.colour else mask
        _colour_outlines(
            draw_slice(axes, neutral + weight * (picture - neutral), case.spacing_mm, outline, value_range)
        )


def _neutral_value(case: PreviewCase, classes: NDArray[np.int16] | None, settings: PictureSettings) -> Any:
    """The intensity that nnU-Net's normalisation turns into 0, which a masked voxel is given: about the mean.

    Colour pictures are divided by 255 only; CT is centred on its foreground; all else on the image's mean.
    """
    if settings.colour:
        return np.zeros(3, np.float32)
    channel = case.image[settings.channel]
    if case.is_ct:
        inside = channel[classes > 0] if classes is not None and (classes > 0).any() else channel[channel > -950]
        return float(inside.mean()) if inside.size else 0.0
    return float(channel.mean(dtype=np.float64))


def _draw_map(
    axes: Axes, values: NDArray[Any], spacing_mm: Sequence[float], outlines: Mapping[str, NDArray[np.bool_]]
) -> None:
    _colour_outlines(draw_slice(axes, values, spacing_mm, outlines, (0.0, 1.0)))
    axes.images[0].set_cmap(MAP_COLOURS)


def _colour_outlines(outlines: Sequence[LineCollection]) -> None:
    for outline in outlines:
        fuzzy = outline.get_label() == "fuzzy"
        outline.set_color(_FUZZY_OUTLINE if fuzzy else OUTLINE)
        outline.set_linestyle("--" if fuzzy else "-")


def _lay_classes_over(
    axes: Axes, label: NDArray[np.int16], settings: PictureSettings, spacing_mm: Sequence[float]
) -> None:
    values = sorted(settings.class_names)
    colours = ListedColormap([class_colour(number) for number in range(len(values))])
    numbers = np.ma.masked_array(np.searchsorted(values, label), ~np.isin(label, values))
    scale, aspect = Normalize(-0.5, len(values) - 0.5), spacing_mm[-2] / spacing_mm[-1]
    axes.imshow(numbers, cmap=colours, norm=scale, alpha=0.75, aspect=aspect, interpolation="nearest")


def class_colour(number: int) -> str:
    """Return the colour of the class with this number in the order of label values."""
    return CONTOUR_COLOURS[number % len(CONTOUR_COLOURS)]


def _write_instead(axes: Axes, text: str) -> None:
    """Replace a panel's picture, which still gives it its proportions, by a word."""
    axes.images[0].set_visible(False)
    axes.set_facecolor("#f0f2f4")
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#56616b", fontsize=9)
    for side in axes.spines.values():
        side.set_color("#d9dfe4")
