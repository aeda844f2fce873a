"""The report's plots. Each takes numbers and gives a Matplotlib figure; colours differ for colour-blind readers too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nnunetv2_dale.report.cost import LearningCurve
from nnunetv2_dale.report.plot_style import colour_of, legend_above, line_style_of, report_style, scale_of
from nnunetv2_dale.report.report_data import MEAN_CLASS, Comparison, Metric, Report
from nnunetv2_dale.report.sides import labels_of


def difference_plot(report: Report, metric: Metric) -> Figure:
    """Draw candidate − baseline with its 95 % interval for each class, and the mean over classes at the top."""
    rows = [row for row in report.comparisons if row.metric == metric.name and row.difference is not None]
    labels = labels_of(report)
    keys = [MEAN_CLASS, *(item.key for item in report.classes)]
    candidates = [run.name for run in report.runs[1:]]
    scale, unit = scale_of(metric)
    with report_style():
        figure = Figure(figsize=(7.2, 1.3 + 0.2 * len(keys) + 0.22 * len(keys) * len(candidates)))
        axes = figure.subplots()
        axes.axvline(0, color="#1b2126", linewidth=1)
        for number, candidate in enumerate(candidates):
            mine = {row.class_key: row for row in rows if row.candidate == candidate}
            offset = (number - (len(candidates) - 1) / 2) * 0.7 / max(2, len(candidates))
            _draw_intervals(
                axes, [mine.get(key) for key in keys], offset, scale, colour_of(number + 1), labels[candidate]
            )
        axes.set_yticks(range(len(keys)), [report.class_title(key) for key in keys])
        axes.set_ylim(len(keys) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        better = "higher is better" if metric.higher_is_better else "lower is better"
        axes.set_xlabel(f"{metric.name}: difference to {labels[report.baseline]} ({unit}; {better})")
        if len(candidates) > 1:
            legend_above(axes)
        return figure


def _draw_intervals(
    axes: Axes, rows: Sequence[Comparison | None], offset: float, scale: float, colour: str, label: str
) -> None:
    for place, row in enumerate(rows):
        if row is None or row.difference is None:
            continue
        low, high = row.ci95 or (row.difference, row.difference)
        axes.plot([low * scale, high * scale], [place + offset] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")
        marker, said = "D" if row.class_key == MEAN_CLASS else "o", label if place == 0 else None
        axes.plot(row.difference * scale, place + offset, marker=marker, color=colour, markersize=6.5, label=said)


def distribution_plot(report: Report, metric: Metric) -> Figure:
    """Draw every case's value for each class and run: a box (quartiles, 1.5 of their distance) over the dots."""
    values = [[run.values[metric.name][item.key] for item in report.classes] for run in report.runs]
    return _boxes_of_runs(report, metric, [item.name for item in report.classes], values, metric.name)


def fold_plot(report: Report, metric: Metric) -> Figure:
    """Draw the cases' means of each fold, beside each other for the runs."""
    folds = list(dict.fromkeys(fold for run in report.runs for fold in run.folds))
    values = [list(zip(run.values[metric.name][MEAN_CLASS], run.fold_of_case, strict=True)) for run in report.runs]
    groups = [[[value for value, of in of_run if of == fold] for fold in folds] for of_run in values]
    names = [f"fold {fold}" if fold.isdigit() else "all cases" for fold in folds]
    return _boxes_of_runs(report, metric, names, groups, f"{metric.name}, mean over classes")


def _boxes_of_runs(
    report: Report,
    metric: Metric,
    names: Sequence[str],
    groups_of_runs: Sequence[Sequence[Sequence[float | None]]],
    title: str,
) -> Figure:
    runs, labels = report.runs, labels_of(report)
    scale, unit = scale_of(metric)
    with report_style():
        figure = Figure(figsize=(min(16.0, 2.2 + len(names) * (0.5 + 0.5 * len(runs))), 4.2))
        axes = figure.subplots()
        for number, (run, of_run) in enumerate(zip(runs, groups_of_runs, strict=True)):
            offset = (number - (len(runs) - 1) / 2) * 0.8 / len(runs)
            groups = [np.array([value for value in values if value is not None]) * scale for values in of_run]
            _boxes(axes, groups, [place + offset for place in range(len(names))], 0.62 / len(runs), colour_of(number))
            axes.plot([], [], color=colour_of(number), linewidth=6, label=labels[run.name])
        slanted: dict[str, Any] = {"rotation": 35, "ha": "right"} if max(map(len, names)) * len(names) > 90 else {}
        axes.set_xticks(range(len(names)), names, **slanted)
        axes.grid(axis="x", visible=False)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylabel(f"{title} ({unit})")
        legend_above(axes)
        return figure


def learning_plot(report: Report) -> Figure:
    """Draw nnU-Net's pseudo Dice over epochs and over hours of training; the mean of the folds, each fold behind it."""
    labels = labels_of(report)
    with report_style():
        figure = Figure(figsize=(11, 4.2))
        over_epochs, over_hours = figure.subplots(1, 2, sharey=True)
        figure.subplots_adjust(wspace=0.08)
        for number, run in enumerate(report.runs):
            style = {"color": colour_of(number), "linestyle": line_style_of(number)}
            _draw_curves(over_epochs, run.curves, lambda curve: curve.epochs, style, labels[run.name])
            _draw_curves(over_hours, run.curves, lambda curve: curve.hours, style, labels[run.name])
            for cost in run.costs:
                if cost.hours is not None and cost.mean_validation_dice is not None:
                    over_hours.plot(
                        cost.hours, cost.mean_validation_dice * 100, "D", color=colour_of(number), markersize=6
                    )
        over_epochs.set_xlabel("epoch")
        over_epochs.set_ylabel("pseudo Dice in training, mean over classes (%)")
        over_hours.set_xlabel("hours of training (◆ Dice of the validation afterwards)")
        legend_above(over_epochs)
        return figure


def _draw_curves(
    axes: Axes, curves: Sequence[LearningCurve], x_of: Callable[[LearningCurve], Any], style: dict[str, Any], label: str
) -> None:
    drawn = []
    for curve in curves:
        points = [
            (x, y * 100) for x, y in zip(x_of(curve), curve.pseudo_dice, strict=True) if x is not None and y is not None
        ]
        if points:
            drawn.append(np.array(points))
            axes.plot(*np.array(points).T, linewidth=0.8, alpha=0.35, **style)
    if not drawn:
        return
    # The folds' mean, only as far as every fold got.
    grid = np.linspace(max(line[0, 0] for line in drawn), min(line[-1, 0] for line in drawn), 200)
    mean = np.mean([np.interp(grid, line[:, 0], line[:, 1]) for line in drawn], axis=0)
    axes.plot(grid, mean, linewidth=2.2, label=label, **style)


def _boxes(
    axes: Axes, groups: Sequence[NDArray[np.float64]], places: Sequence[float], width: float, colour: str
) -> None:
    jitter = np.random.default_rng(0)
    for group, place in zip(groups, places, strict=True):
        if not len(group):
            axes.annotate("none", (place, 0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8)
            continue
        spread = jitter.uniform(-0.36, 0.36, len(group)) * width
        alpha = float(np.clip(40 / len(group), 0.2, 0.8))
        axes.scatter(place + spread, group, s=7, color=colour, alpha=alpha, linewidths=0, rasterized=len(group) > 2000)
        box, thin = {"color": colour, "linewidth": 1.4}, {"color": colour, "linewidth": 1.2}
        lines: dict[str, Any] = {"boxprops": box, "whiskerprops": thin, "capprops": thin}
        lines["medianprops"] = {"color": "#1b2126", "linewidth": 1.8}
        axes.boxplot([group], positions=[place], widths=[width], showfliers=False, manage_ticks=False, **lines)
