"""The picture of a case: image, label, entropy, edges, m, both masks and both views, at the slices that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from nnunetv2_dale.dale.fuzziness import IntensityBins
from nnunetv2_dale.pages.case_fuzziness import case_fuzziness
from nnunetv2_dale.pages.slice_display import CONTOUR_COLOURS, display_range, draw_slice, slices_that_matter
from nnunetv2_dale.preview.preview_case import PreviewCase

BINS_IN_WORDS: dict[IntensityBins, str] = {
    "equal": "equal entropy bins between the image's extremes",
    "near_labels": "entropy bins at quantiles of the intensities near labels",
}
MAP_COLOURS = "cividis"  # made for colour-blind readers; even in lightness
TITLES = (
    "Image",
    "Label",
    "Entropy $r$",
    "Edge ratio $e$",
    "Fuzziness $m$",
    "Fuzzy mask $M^f$",
    "Non-fuzzy mask $M^n$",
    "Fuzzy view",
    "Non-fuzzy view",
)
_PANEL_INCH = 1.95
_OUTLINE = CONTOUR_COLOURS[5]  # vermilion: seen on grey and on every colour of the maps
_FUZZY_OUTLINE = "#ffffff"


@dataclass(frozen=True)
class PictureSettings:
    """What to draw.

    Attributes:
        patch_sizes: in-plane voxels of a fuzziness patch; each gets its rows.
        tau: threshold of Eq. 6.
        entropy_bins: intensity bins of Eq. 3.
        intensity_bins: where they lie; in a case without label edges they are equal.
        fewest_patches: that fit along the shortest in-plane axis; patches of small images are smaller.
        channel: the channel shown where the image is not in colour.
        colour: the first three channels are red, green and blue.
        ignore_label: value that does not count.
        class_names: of the label values.
    """

    patch_sizes: tuple[int, ...]
    tau: float
    entropy_bins: int
    intensity_bins: IntensityBins
    fewest_patches: int
    channel: int
    colour: bool
    ignore_label: int | None
    class_names: Mapping[int, str]


@dataclass(frozen=True)
class PatchMaps:
    """Fuzziness for one patch size, at the chosen slices: arrays (N, Y, X); and how much of the case is fuzzy."""

    patch: tuple[int, ...]
    intensity_bins: IntensityBins
    entropy: NDArray[np.float32]
    edges: NDArray[np.float32]
    m: NDArray[np.float32]
    fuzzy_of_image: float
    fuzzy_of_foreground: float  # NaN without foreground


@dataclass(frozen=True)
class CasePicture:
    """The drawn figure and the figures in words."""

    figure: Figure
    summary: tuple[str, ...]  # a line per patch size


def draw_case(case: PreviewCase, settings: PictureSettings, heading: str) -> CasePicture:
    """Draw a case: a row for each slice and patch size, a column for each of `TITLES`.

    Args:
        case: what to draw; without a label m is the entropy alone and the panels of label and edges stay empty.
        settings: how.
        heading: dataset and configuration, under the case's name.
    Raises:
        ValueError: no such channel.
    """
    if not 0 <= settings.channel < case.image.shape[0]:
        raise ValueError(f"channel {settings.channel} does not exist: {case.name} has {case.image.shape[0]}")
    classes = _classes(case, settings.ignore_label)
    slices, maps = _chosen_maps(case, classes, settings)
    height, width = case.image.shape[2:]
    row_mm, column_mm = case.spacing_mm[-2:]
    panel_height = _PANEL_INCH * min(1.6, max(0.55, height * row_mm / (width * column_mm)))
    rows = len(slices) * len(maps)
    top_inch, bottom_inch, left_inch, right_inch = 1.0, 0.75, 1.05, 0.75
    size = (left_inch + right_inch + len(TITLES) * _PANEL_INCH, top_inch + bottom_inch + rows * (panel_height + 0.08))
    figure = Figure(figsize=size, facecolor="white")
    grid = figure.subplots(
        rows,
        len(TITLES),
        squeeze=False,
        gridspec_kw={
            "left": left_inch / size[0],
            "right": 1 - right_inch / size[0],
            "top": 1 - top_inch / size[1],
            "bottom": bottom_inch / size[1],
            "wspace": 0.05,
            "hspace": 0.05,
        },
    )
    value_range = _value_range(case, classes, settings)
    for row in range(rows):
        number, which = divmod(row, len(maps))
        _draw_row(grid[row], case, classes, slices[number], number, maps[which], value_range, settings)
        _name_row(grid[row][0], case, classes, slices[number], maps[which].patch)
    for axes, title in zip(grid[0], TITLES, strict=True):
        axes.set_title(title, fontsize=10.5, pad=6)
    bins = f"{settings.entropy_bins} {BINS_IN_WORDS[maps[0].intensity_bins]}"
    _decorate(figure, case, settings, f"{heading} · {bins}", classes)
    return CasePicture(figure, tuple(_summary(part, settings.tau) for part in maps))


def _classes(case: PreviewCase, ignore_label: int | None) -> NDArray[np.int16] | None:
    """The label without the ignore label."""
    if case.label is None or ignore_label is None:
        return case.label
    return np.where(case.label == ignore_label, np.int16(0), case.label)


def _chosen_maps(
    case: PreviewCase, classes: NDArray[np.int16] | None, settings: PictureSettings
) -> tuple[list[int], list[PatchMaps]]:
    slices: list[int] = []
    maps = []
    for patch_size in settings.patch_sizes:
        fuzziness = case_fuzziness(
            case.image,
            case.label,
            case.spacing_mm,
            patch_size,
            settings.entropy_bins,
            settings.ignore_label,
            case.slicewise,
            settings.intensity_bins,
            settings.fewest_patches,
        )
        m = fuzziness.combined
        fuzzy = m >= settings.tau
        if not slices:
            nothing = np.zeros(m.shape, bool)
            slices = slices_that_matter(nothing if classes is None else classes, fuzzy if fuzzy.any() else m)
        foreground = None if classes is None else fuzzy[classes > 0]
        maps.append(
            PatchMaps(
                fuzziness.patch,
                fuzziness.intensity_bins,
                fuzziness.entropy[slices],
                fuzziness.edges[slices],
                m[slices],
                float(fuzzy.mean()),
                float(foreground.mean()) if foreground is not None and foreground.size else float("nan"),
            )
        )
    return slices, maps


def _value_range(
    case: PreviewCase, classes: NDArray[np.int16] | None, settings: PictureSettings
) -> tuple[float, float]:
    if settings.colour:
        picture = case.image[:3]
        return (
            (0.0, 255.0) if picture.min() >= 0 and picture.max() > 1 else (float(picture.min()), float(picture.max()))
        )
    region = None if classes is None or not case.is_ct else _box_around(classes > 0)
    return display_range(case.image[settings.channel], case.is_ct, region)


def _box_around(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The bounding box of a mask: where the CT window has to fit. None without foreground."""
    if not mask.any():
        return None
    box = np.zeros_like(mask)
    spans = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        spans.append(slice(int(used[0]), int(used[-1]) + 1))
    box[tuple(spans)] = True
    return box


def _draw_row(
    panels: Sequence[Axes],
    case: PreviewCase,
    classes: NDArray[np.int16] | None,
    z: int,
    number: int,
    maps: PatchMaps,
    value_range: tuple[float, float],
    settings: PictureSettings,
) -> None:
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
    axes: Axes,
    values: NDArray[Any],
    spacing_mm: Sequence[float],
    outlines: Mapping[str, NDArray[np.bool_]],
) -> None:
    _colour_outlines(draw_slice(axes, values, spacing_mm, outlines, (0.0, 1.0)))
    axes.images[0].set_cmap(MAP_COLOURS)


def _colour_outlines(outlines: Sequence[LineCollection]) -> None:
    for outline in outlines:
        fuzzy = outline.get_label() == "fuzzy"
        outline.set_color(_FUZZY_OUTLINE if fuzzy else _OUTLINE)
        outline.set_linestyle("--" if fuzzy else "-")


def _lay_classes_over(
    axes: Axes, label: NDArray[np.int16], settings: PictureSettings, spacing_mm: Sequence[float]
) -> None:
    values = sorted(settings.class_names)
    colours = [_class_colour(number) for number in range(len(values))]
    shown = np.full(label.shape, np.nan)
    for number, value in enumerate(values):
        shown[label == value] = number
    row_mm, column_mm = tuple(spacing_mm)[-2:]
    axes.imshow(
        np.ma.masked_invalid(shown),
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(values) - 0.5,
        alpha=0.75,
        aspect=row_mm / column_mm,
        interpolation="nearest",
    )


def _class_colour(number: int) -> str:
    return CONTOUR_COLOURS[number % len(CONTOUR_COLOURS)]


def _write_instead(axes: Axes, text: str) -> None:
    """Replace a panel's picture, which still gives it its proportions, by a word."""
    axes.images[0].set_visible(False)
    axes.set_facecolor("#f0f2f4")
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#56616b", fontsize=9)
    for side in axes.spines.values():
        side.set_color("#d9dfe4")


def _name_row(axes: Axes, case: PreviewCase, classes: NDArray[np.int16] | None, z: int, patch: tuple[int, ...]) -> None:
    lines = []
    if case.image.shape[1] > 1:
        lines.append(f"slice {z + 1} of {case.image.shape[1]}")
        amounts = None if classes is None else (classes > 0).sum(axis=(1, 2))
        most = amounts is not None and amounts.max() > 0 and amounts[z] == amounts.max()
        lines.append("most foreground" if most else "most fuzzy")
    lines.append("patch " + "×".join(map(str, patch)))
    axes.set_ylabel("\n".join(lines), fontsize=9, labelpad=6)


def _decorate(
    figure: Figure, case: PreviewCase, settings: PictureSettings, heading: str, classes: NDArray[np.int16] | None
) -> None:
    width, height = figure.get_size_inches()
    left = 0.25 / width
    figure.text(left, 1 - 0.22 / height, case.name, fontsize=14, fontweight="bold", va="top")
    figure.text(left, 1 - 0.49 / height, heading, fontsize=9.5, color="#56616b", va="top")
    bar = figure.add_axes((1 - 0.55 / width, 0.75 / height, 0.13 / width, 1 - 1.75 / height))
    figure.colorbar(ScalarMappable(Normalize(0, 1), MAP_COLOURS), cax=bar)
    bar.tick_params(labelsize=8)
    bar.axhline(settings.tau, color="white", linewidth=1.2, linestyle="--")
    bar.set_title("0 to 1", fontsize=8, pad=6)
    handles: list[Any] = []
    if classes is not None:
        names = enumerate(sorted(settings.class_names.items()))
        handles += [Patch(color=_class_colour(number), alpha=0.75, label=name) for number, (_, name) in names]
        handles.append(Line2D([], [], color=_OUTLINE, linewidth=1.5, label="outline of the foreground"))
    dashed = Line2D([], [], color="#8a949c", linewidth=1.5, linestyle="--")
    dashed.set_label(f"fuzzy region, $m \\geq \\tau$ = {settings.tau:g} (white in the panel of $m$)")
    handles.append(dashed)
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(left, 0.08 / height), ncols=8, frameon=False, fontsize=9
    )


def _summary(maps: PatchMaps, tau: float) -> str:
    text = f"patch {'×'.join(map(str, maps.patch))}: m reaches {tau:g} in {maps.fuzzy_of_image:.1%} of the voxels"
    if not np.isnan(maps.fuzzy_of_foreground):
        text += f" and {maps.fuzzy_of_foreground:.1%} of the foreground"
    return text
