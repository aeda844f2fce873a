"""Plots of two runs, case by case."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nnunetv2_dale.pages.html_page import OKABE_ITO
from nnunetv2_dale.report.page_cells import with_minus
from nnunetv2_dale.report.plot_style import legend_above, report_style, scale_of
from nnunetv2_dale.report.report_data import MEAN_CLASS, Metric, Report
from nnunetv2_dale.report.sides import labels_of

_BETTER, _SAME, _WORSE = OKABE_ITO[0], "#8a949c", OKABE_ITO[1]


def slope_plot(report: Report, candidate: str, metric: Metric) -> Figure:
    """Draw one line per case from the baseline's value to the candidate's."""
    before, after = _pairs(report, candidate, metric)
    labels = labels_of(report)
    gains = (after - before) * (1 if metric.higher_is_better else -1)
    margin = metric.same_within + 1e-9
    scale, unit = scale_of(metric)
    with report_style():
        figure = Figure(figsize=(4.6, 4.6))
        axes = figure.subplots()
        # The lines that changed lie over those that did not.
        for name, colour, chosen in (
            ("same", _SAME, np.abs(gains) <= margin),
            ("better", _BETTER, gains > margin),
            ("worse", _WORSE, gains < -margin),
        ):
            alpha = float(np.clip(25 / max(1, chosen.sum()), 0.25, 0.9))
            pairs = np.stack([before[chosen], after[chosen]]) * scale
            axes.plot([0, 1], pairs, color=colour, alpha=alpha, linewidth=1, marker="o", markersize=2.5)
            style = {"better": "-", "same": ":", "worse": "--"}[name]
            axes.plot([], [], color=colour, linewidth=2, linestyle=style, label=f"{name} ({int(chosen.sum())})")
        means = [float(values.mean()) * scale for values in (before, after)]
        axes.plot([0, 1], means, color="#1b2126", linewidth=3, marker="D", markersize=7, label="mean")
        axes.set_xlim(-0.15, 1.15)
        axes.set_xticks([0, 1], [labels[report.baseline], labels[candidate]])
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(f"{metric.name}, mean over classes ({unit})")
        legend_above(axes, columns=2)
        return figure


def bland_altman_plot(report: Report, candidate: str, metric: Metric) -> Figure:
    """Draw each case's difference over its mean of both runs, the mean difference and the 95 % limits."""
    before, after = _pairs(report, candidate, metric)
    labels = labels_of(report)
    scale, unit = scale_of(metric)
    middle, difference = (before + after) / 2 * scale, (after - before) * scale
    with report_style():
        figure = Figure(figsize=(5.4, 4.6))
        axes = figure.subplots()
        axes.scatter(middle, difference, s=16, color=OKABE_ITO[0], alpha=0.55, linewidths=0)
        axes.axhline(0, color="#1b2126", linewidth=1)
        mean = float(difference.mean())
        lines = [(mean, "mean", "-")]
        if len(difference) > 1:
            spread = 1.96 * float(difference.std(ddof=1))
            lines += [(mean + spread, "+1.96 SD", "--"), (mean - spread, "−1.96 SD", "--")]
        for value, name, style in lines:
            axes.axhline(value, color=OKABE_ITO[1], linewidth=1.4, linestyle=style)
            beside: Any = {"xycoords": ("axes fraction", "data"), "xytext": (4, 0), "textcoords": "offset points"}
            text = with_minus(f"{name} {value:+.2f}")
            axes.annotate(text, (1, value), va="center", color="#a84300", fontsize=9, **beside)
        axes.set_xlabel(f"mean {metric.name} of both runs ({unit})")
        axes.set_ylabel(f"{labels[candidate]} − {labels[report.baseline]} ({unit})")
        return figure


def _pairs(report: Report, candidate: str, metric: Metric) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    columns = [report.run(name).values[metric.name][MEAN_CLASS] for name in (report.baseline, candidate)]
    pairs = [(a, b) for a, b in zip(*columns, strict=True) if a is not None and b is not None]
    before, after = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return before, after
