"""The two pictures of a trained network and a case: ω of each voxel, and t-SNE of its features by class and region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nnunetv2_dale.pages.slice_display import CONTOUR_COLOURS, display_range, draw_slice
from nnunetv2_dale.preview.picture_frame import MAP_COLOURS, QUIET, add_colour_bar, add_heading, panel_grid
from nnunetv2_dale.preview.region_features import RegionFeatures, embedded, fitting_perplexity

OMEGA_IS = (
    "ω is how much one meta step would weigh each voxel's label. It does not find wrong labels reliably; the trust of "
    "whole cases (nnUNetTrainerCaseTrust) and nnUNetv2_dale_audit do."
)
CONFIDENCE_COLOURS = "PuOr_r"  # made for colour-blind readers; white is 1
_BACKGROUND = "#8a949c"
_PANEL_INCH = 2.3


@dataclass(frozen=True)
class ShownSlice:
    """One row of the picture of ω: everything (Y, X), the image (Y, X) or (Y, X, 3)."""

    name: str
    image: NDArray[np.float32]
    label: NDArray[np.int16]
    predicted: Mapping[str, NDArray[np.int16]]  # the title of each prediction's column → its classes
    m: NDArray[np.float32]
    confidence: NDArray[np.float32]


def confidence_picture(
    rows: Sequence[ShownSlice],
    spacing_mm: Sequence[float],
    class_names: Mapping[int, str],
    reach: float,
    title: str,
    heading: str,
) -> Figure:
    """Draw image, label, predictions, fuzziness and ω of some slices.

    Args:
        spacing_mm: (row, column).
        reach: the most by which ω can leave 1: the ends of its colours.
    """
    columns = ("Image", "Label", *rows[0].predicted, "Fuzziness $m$", "Confidence $\\omega$")
    figure, grid = panel_grid(len(rows), columns, rows[0].image.shape, spacing_mm, _PANEL_INCH, 1.7)
    width, height = figure.get_size_inches()
    values = display_range(np.stack([row.image for row in rows]), is_ct=False)
    for panels, row in zip(grid, rows, strict=True):
        draw_slice(panels[0], row.image, spacing_mm, {}, values)
        *shown, of_m, of_confidence = panels[1:]
        for axes, classes in zip(shown, (row.label, *row.predicted.values()), strict=True):
            masks = {name: classes == value for value, name in class_names.items()}
            draw_slice(axes, row.image, spacing_mm, masks, values)
        draw_slice(of_m, row.m, spacing_mm, {}, (0.0, 1.0))
        of_m.images[0].set_cmap(MAP_COLOURS)
        outline = draw_slice(
            of_confidence, row.confidence, spacing_mm, {"label": row.label > 0}, (1 - reach, 1 + reach)
        )
        of_confidence.images[0].set_cmap(CONFIDENCE_COLOURS)
        outline[0].set_color("black")
        outline[0].set_path_effects([])
        outline[0].set_linewidth(0.8)
        panels[0].set_ylabel(row.name, fontsize=9, labelpad=6)
    add_heading(figure, title, heading)
    add_colour_bar(figure, 1.35, Normalize(0, 1), MAP_COLOURS, "$m$")
    add_colour_bar(figure, 0.65, Normalize(1 - reach, 1 + reach), CONFIDENCE_COLOURS, "$\\omega$")
    handles, place = list(grid[0][1].collections), (1.0 / width, 0.33 / height)
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=place, ncols=8, frameon=False)
    figure.text(1.0 / width, 0.15 / height, OMEGA_IS, fontsize=9, color=QUIET)
    return figure


def features_picture(
    samples: Mapping[str, RegionFeatures], class_names: Mapping[int, str], title: str, heading: str
) -> Figure:
    """Draw a row per sample: its t-SNE coloured by class, the same by region, and the numbers that go with it."""
    rows = len(samples)
    size = (13.2, 1.0 + 4.4 * rows)
    figure = Figure(figsize=size, facecolor="white")
    place = {"left": 0.25 / size[0], "right": 1 - 0.1 / size[0], "top": 1 - 0.85 / size[1], "bottom": 0.15 / size[1]}
    widths = {"width_ratios": [1, 1, 0.95], "wspace": 0.04, "hspace": 0.05}
    grid = figure.subplots(rows, 3, squeeze=False, gridspec_kw={**place, **widths})
    colours = {0: _BACKGROUND, **dict(zip(class_names, cycle(CONTOUR_COLOURS), strict=False))}
    for (by_class, by_region, words), (name, sample) in zip(grid, samples.items(), strict=True):
        points = embedded(sample)
        _scatter(by_class, points, sample.classes, {0: "background", **class_names}, colours)
        _scatter(by_region, points, sample.fuzzy.astype(int), *_REGIONS)
        words.set_axis_off()
        words.text(0.03, 0.97, name, va="top", fontsize=11, fontweight="bold")
        words.text(0.03, 0.89, numbers_of(sample, class_names), va="top", fontsize=9, linespacing=1.5)
    for axes in grid[0][:2]:
        axes.legend(loc="upper left", fontsize=9, markerscale=2, framealpha=0.9)
    add_heading(figure, title, heading)
    return figure


_REGIONS = ({0: "non-fuzzy, $m < \\tau$", 1: "fuzzy, $m \\geq \\tau$"}, {0: CONTOUR_COLOURS[6], 1: CONTOUR_COLOURS[5]})


def numbers_of(sample: RegionFeatures, class_names: Mapping[int, str]) -> str:
    """Write the sample's size, perplexity, silhouettes and Wasserstein distances, in lines of text."""
    names = {0: "background", **class_names}
    silhouettes = (sample.silhouette_of_classes(region) for region in (False, True))
    clear, fuzzy = ("–" if np.isnan(value) else f"{value:.2f}" for value in silhouettes)
    lines = [
        f"{len(sample.features)} voxels, perplexity {fitting_perplexity(len(sample.features)):.0f}",
        "silhouette of the classes:",
        f"   non-fuzzy voxels: {clear}",
        f"   fuzzy voxels: {fuzzy}",
        "$W_2$ of fuzzy to non-fuzzy voxels, in spreads:",
    ]
    lines += [f"   {names.get(value, value)}: {distance:.2f}" for value, distance in sample.wasserstein.items()][:5]
    return "\n".join(lines if sample.wasserstein else [*lines, "   no class has voxels in both regions"])


def _scatter(
    axes: Axes, points: NDArray[np.float32], groups: NDArray[Any], names: Mapping[int, str], colours: Mapping[int, str]
) -> None:
    """All groups in one drawing order, so that the last does not hide the others."""
    present = [value for value in names if (groups == value).any()]
    rank = np.array([present.index(value) for value in groups])
    shades = ListedColormap([colours[value] for value in present])
    ends = Normalize(-0.5, len(present) - 0.5)
    axes.scatter(points[:, 0], points[:, 1], c=rank, cmap=shades, norm=ends, s=7, alpha=0.7, linewidths=0)
    for value in present:
        axes.scatter([], [], color=colours[value], s=12, label=names[value])
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("#d9dfe4")
