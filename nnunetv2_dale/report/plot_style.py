"""How the report's plots look: their style, and the colour and line of each run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import matplotlib
from matplotlib.axes import Axes

from nnunetv2_dale.pages.html_page import OKABE_ITO
from nnunetv2_dale.report.report_data import Metric

_LINE_STYLES = ("-", "--", "-.", ":")
_STYLE: dict[str, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#56616b",
    "axes.labelcolor": "#1b2126",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e8ec",
    "grid.linewidth": 0.8,
    "xtick.color": "#3b454d",
    "ytick.color": "#3b454d",
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def report_style() -> AbstractContextManager[None]:
    """Draw in the report's style in the block."""
    return matplotlib.rc_context(cast(Any, _STYLE))


def colour_of(number: int) -> str:
    """Return the colour of a run: there are eight, and more runs begin again."""
    return OKABE_ITO[number % len(OKABE_ITO)]


def line_style_of(number: int) -> str:
    """Return the line of a run: runs of one colour have different ones."""
    return _LINE_STYLES[(number + number // len(OKABE_ITO)) % len(_LINE_STYLES)]


def scale_of(metric: Metric) -> tuple[float, str]:
    """Return what a metric's values are multiplied by, and their unit."""
    return (1.0, metric.unit) if metric.unit else (100.0, "%")


def legend_above(axes: Axes, columns: int = 4) -> None:
    """Put the legend above the axes."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, borderaxespad=0.3, handlelength=1.8)
