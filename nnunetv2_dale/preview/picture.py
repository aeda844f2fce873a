"""The picture of a case: image, label, entropy, edges, m, both masks and both views, at the slices that matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from nnunetv2_dale.dale.fuzziness import IntensityBins
from nnunetv2_dale.preview.picture_maps import PictureSettings, chosen_maps, summary
from nnunetv2_dale.preview.picture_panels import MAP_COLOURS, OUTLINE, class_colour, draw_row, intensity_range
from nnunetv2_dale.preview.preview_case import PreviewCase

BINS_IN_WORDS: dict[IntensityBins, str] = {
    "equal": "equal entropy bins between the image's extremes",
    "near_labels": "entropy bins at quantiles of the intensities near labels",
}
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


@dataclass(frozen=True)
class CasePicture:
    """The drawn figure, the figures in words (of a case a line per patch size), and the patches that were used."""

    figure: Figure
    summary: tuple[str, ...]
    patches: tuple[tuple[int, ...], ...]  # voxels along each axis


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
    slices, maps = chosen_maps(case, classes, settings)
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
    value_range = intensity_range(case, classes, settings)
    for row in range(rows):
        number, which = divmod(row, len(maps))
        draw_row(grid[row], case, classes, slices[number], number, maps[which], value_range, settings)
        _name_row(grid[row][0], case, classes, slices[number], maps[which].patch)
    for axes, title in zip(grid[0], TITLES, strict=True):
        axes.set_title(title, fontsize=10.5, pad=6)
    bins = f"{settings.entropy_bins} {BINS_IN_WORDS[maps[0].intensity_bins]}"
    _decorate(figure, case, settings, f"{heading} · {bins}", classes)
    return CasePicture(figure, tuple(summary(part, settings.tau) for part in maps), tuple(part.patch for part in maps))


def _classes(case: PreviewCase, ignore_label: int | None) -> NDArray[np.int16] | None:
    """The label without the ignore label."""
    if case.label is None or ignore_label is None:
        return case.label
    return np.where(case.label == ignore_label, np.int16(0), case.label)


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
        handles += [Patch(color=class_colour(number), alpha=0.75, label=name) for number, (_, name) in names]
        handles.append(Line2D([], [], color=OUTLINE, linewidth=1.5, label="outline of the foreground"))
    if case.confidence is not None:
        handles.append(Patch(color="black", alpha=0.8, label="given confidence below 1 (black: 0)"))
    dashed = Line2D([], [], color="#8a949c", linewidth=1.5, linestyle="--")
    dashed.set_label(f"fuzzy region, $m \\geq \\tau$ = {settings.tau:g} (white in the panel of $m$)")
    handles.append(dashed)
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(left, 0.08 / height), ncols=8, frameon=False, fontsize=9
    )
