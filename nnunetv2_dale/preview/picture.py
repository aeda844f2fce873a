"""The picture of a case: image, label, entropy, edges, m, both masks and both views, at the slices that matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from nnunetv2_dale.dale.fuzziness import IntensityBins
from nnunetv2_dale.preview.picture_frame import MAP_COLOURS, add_colour_bar, add_heading, panel_grid
from nnunetv2_dale.preview.picture_maps import PictureSettings, chosen_maps, summary
from nnunetv2_dale.preview.picture_panels import OUTLINE, class_colour, draw_row, intensity_range
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


Pictures = Callable[[str], Iterator[tuple[str, CasePicture]]]  # of a case, by its name: each with its kind


def draw_case(case: PreviewCase, settings: PictureSettings, heading: str) -> CasePicture:
    """Draw a case: a row for each slice and patch size, a column for each of `TITLES`, the heading under its name.

    Without a label m is the entropy alone and the panels of label and edges stay empty. A ValueError: no such channel.
    """
    if not 0 <= settings.channel < case.image.shape[0]:
        raise ValueError(f"channel {settings.channel} does not exist: {case.name} has {case.image.shape[0]}")
    classes = case.label
    if classes is not None and settings.ignore_label is not None:
        classes = np.where(classes == settings.ignore_label, np.int16(0), classes)
    slices, maps = chosen_maps(case, classes, settings)
    rows = len(slices) * len(maps)
    figure, grid = panel_grid(rows, TITLES, case.image.shape[2:], case.spacing_mm, _PANEL_INCH, 0.75)
    value_range = intensity_range(case, classes, settings)
    for row in range(rows):
        number, which = divmod(row, len(maps))
        draw_row(grid[row], case, classes, slices[number], number, maps[which], value_range, settings)
        _name_row(grid[row][0], case, classes, slices[number], maps[which].patch)
    bins = f"{settings.entropy_bins} {BINS_IN_WORDS[maps[0].intensity_bins]}"
    add_heading(figure, case.name, f"{heading} · {bins}")
    bar = add_colour_bar(figure, 0.55, Normalize(0, 1), MAP_COLOURS, "0 to 1")
    bar.axhline(settings.tau, color="white", linewidth=1.2, linestyle="--")
    _add_legend(figure, case, settings, with_classes=classes is not None)
    return CasePicture(figure, tuple(summary(part, settings.tau) for part in maps), tuple(part.patch for part in maps))


def _name_row(axes: Axes, case: PreviewCase, classes: NDArray[np.int16] | None, z: int, patch: tuple[int, ...]) -> None:
    lines = []
    if case.image.shape[1] > 1:
        lines.append(f"slice {z + 1} of {case.image.shape[1]}")
        amounts = None if classes is None else (classes > 0).sum(axis=(1, 2))
        most = amounts is not None and amounts.max() > 0 and amounts[z] == amounts.max()
        lines.append("most foreground" if most else "most fuzzy")
    lines.append("patch " + "×".join(map(str, patch)))
    axes.set_ylabel("\n".join(lines), fontsize=9, labelpad=6)


def _add_legend(figure: Figure, case: PreviewCase, settings: PictureSettings, with_classes: bool) -> None:
    handles: list[Any] = []
    if with_classes:
        names = enumerate(sorted(settings.class_names.items()))
        handles += [Patch(color=class_colour(number), alpha=0.75, label=name) for number, (_, name) in names]
        handles.append(Line2D([], [], color=OUTLINE, linewidth=1.5, label="outline of the foreground"))
    if case.confidence is not None:
        handles.append(Patch(color="black", alpha=0.8, label="given confidence below 1 (black: 0)"))
    dashed = Line2D([], [], color="#8a949c", linewidth=1.5, linestyle="--")
    dashed.set_label(f"fuzzy region, $m \\geq \\tau$ = {settings.tau:g} (white in the panel of $m$)")
    handles.append(dashed)
    width, height = figure.get_size_inches()
    place = (0.25 / width, 0.08 / height)
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=place, ncols=8, frameon=False, fontsize=9)
