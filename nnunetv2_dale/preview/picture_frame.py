"""The frame of a picture: panels in true proportions, a heading above them, scales of colours beside them."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

MAP_COLOURS = "cividis"  # made for colour-blind readers; even in lightness
QUIET = "#56616b"
_TOP_INCH, _BOTTOM_INCH, _LEFT_INCH = 1.0, 0.75, 1.05
_GAP = 0.05


def panel_grid(
    rows: int, titles: Sequence[str], shape: Sequence[int], spacing_mm: Sequence[float], inch: float, right_inch: float
) -> tuple[Figure, NDArray[Axes]]:  # type: ignore[type-var]
    """Make a figure with a panel for each row and title; its axes are (rows, titles).

    Args:
        shape: (Y, X) of the slices that are shown, in pixels.
        spacing_mm: of their rows and columns, the last two values.
        inch: width of a panel.
        right_inch: room beside the panels.
    """
    proportion = shape[0] * spacing_mm[-2] / (shape[1] * spacing_mm[-1])
    height = rows * (inch * min(1.6, max(0.55, proportion)) + 0.1) + _TOP_INCH + _BOTTOM_INCH
    width = len(titles) * inch + _LEFT_INCH + right_inch
    figure = Figure(figsize=(width, height), facecolor="white")
    place = {"left": _LEFT_INCH / width, "right": 1 - right_inch / width, "wspace": _GAP, "hspace": _GAP}
    place |= {"top": 1 - _TOP_INCH / height, "bottom": _BOTTOM_INCH / height}
    grid = figure.subplots(rows, len(titles), squeeze=False, gridspec_kw=place)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10.5, pad=6)
    return figure, grid


def add_heading(figure: Figure, title: str, heading: str) -> None:
    """Write the title and, below it, what is shown."""
    width, height = figure.get_size_inches()
    figure.text(0.25 / width, 1 - 0.2 / height, title, fontsize=14, fontweight="bold", va="top")
    figure.text(0.25 / width, 1 - 0.48 / height, heading, fontsize=9, color=QUIET, va="top")


def add_colour_bar(figure: Figure, from_right_inch: float, scale: Normalize, colours: str, name: str) -> Axes:
    """Draw a scale of colours right of a `panel_grid`."""
    width, height = figure.get_size_inches()
    bar = figure.add_axes((1 - from_right_inch / width, 0.75 / height, 0.13 / width, 1 - 1.75 / height))
    figure.colorbar(ScalarMappable(scale, colours), cax=bar)
    bar.tick_params(labelsize=8)
    bar.set_title(name, fontsize=9, pad=6)
    return bar
