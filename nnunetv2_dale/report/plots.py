"""The report's plots. Each takes numbers and gives a Matplotlib figure; colours differ for colour-blind readers too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nnunetv2_dale.pages.html_page import OKABE_ITO
from nnunetv2_dale.report.page_cells import with_minus
from nnunetv2_dale.report.report_data import MEAN_CLASS, Comparison, LearningCurve, Metric, Report
from nnunetv2_dale.report.run_labels import short_names

_BETTER, _SAME, _WORSE = OKABE_ITO[0], "#8a949c", OKABE_ITO[1]
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


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context(cast(Any, _STYLE)):
        yield


def _colour(number: int) -> str:
    """Of a run: there are eight, and more runs begin again."""
    return OKABE_ITO[number % len(OKABE_ITO)]


def _line_style(number: int) -> str:
    """Of a run: runs of one colour have different ones."""
    return _LINE_STYLES[(number + number // len(OKABE_ITO)) % len(_LINE_STYLES)]


def difference_plot(report: Report, metric: Metric) -> Figure:
    """Candidate − baseline with its 95 % interval for each class, and the mean over classes at the top."""
    rows = [row for row in report.comparisons if row.metric == metric.name and row.difference is not None]
    labels = short_names([run.name for run in report.runs])
    keys = [MEAN_CLASS, *(item.key for item in report.classes)]
    candidates = [run.name for run in report.runs[1:]]
    scale, unit = _scale(metric)
    with _style():
        figure = Figure(figsize=(7.2, 1.3 + 0.2 * len(keys) + 0.22 * len(keys) * len(candidates)))
        axes = figure.subplots()
        axes.axvline(0, color="#1b2126", linewidth=1)
        for number, candidate in enumerate(candidates):
            mine = {row.class_key: row for row in rows if row.candidate == candidate}
            offset = (number - (len(candidates) - 1) / 2) * 0.7 / max(2, len(candidates))
            _draw_intervals(
                axes, [mine.get(key) for key in keys], offset, scale, _colour(number + 1), labels[candidate]
            )
        axes.set_yticks(range(len(keys)), [report.class_title(key) for key in keys])
        axes.set_ylim(len(keys) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        better = "higher is better" if metric.higher_is_better else "lower is better"
        axes.set_xlabel(f"{metric.name}: difference to {labels[report.baseline]} ({unit}; {better})")
        if len(candidates) > 1:
            _legend_above(axes)
        return figure


def _draw_intervals(
    axes: Axes, rows: Sequence[Comparison | None], offset: float, scale: float, colour: str, label: str
) -> None:
    for place, row in enumerate(rows):
        if row is None or row.difference is None:
            continue
        low, high = row.ci95 or (row.difference, row.difference)
        axes.plot([low * scale, high * scale], [place + offset] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot(
            row.difference * scale,
            place + offset,
            marker="D" if row.class_key == MEAN_CLASS else "o",
            color=colour,
            markersize=6.5,
            label=label if place == 0 else None,
        )


def distribution_plot(report: Report, metric: Metric) -> Figure:
    """Every case's value for each class and run: a box (quartiles, 1.5 quartile distances) over the cases' dots."""
    keys = [item.key for item in report.classes]
    runs, labels = report.runs, short_names([run.name for run in report.runs])
    scale, unit = _scale(metric)
    with _style():
        figure = Figure(figsize=(min(16.0, 2.2 + len(keys) * (0.5 + 0.5 * len(runs))), 4.2))
        axes = figure.subplots()
        for number, run in enumerate(runs):
            offset = (number - (len(runs) - 1) / 2) * 0.8 / len(runs)
            groups = [_there(run.values[metric.name][key]) * scale for key in keys]
            _boxes(axes, groups, [place + offset for place in range(len(keys))], 0.62 / len(runs), _colour(number))
            axes.plot([], [], color=_colour(number), linewidth=6, label=labels[run.name])
        axes.set_xticks(range(len(keys)), [report.class_title(key) for key in keys])
        _slant_long_labels(axes, [report.class_title(key) for key in keys])
        axes.grid(axis="x", visible=False)
        axes.set_xlim(-0.6, len(keys) - 0.4)
        axes.set_ylabel(f"{metric.name} ({unit})")
        _legend_above(axes)
        return figure


def fold_plot(report: Report, metric: Metric) -> Figure:
    """Draw the cases' means of each fold, beside each other for the runs."""
    folds = list(dict.fromkeys(fold for run in report.runs for fold in run.folds))
    labels = short_names([run.name for run in report.runs])
    scale, unit = _scale(metric)
    with _style():
        figure = Figure(figsize=(min(12.0, 2.2 + len(folds) * (0.5 + 0.45 * len(report.runs))), 3.8))
        axes = figure.subplots()
        for number, run in enumerate(report.runs):
            offset = (number - (len(report.runs) - 1) / 2) * 0.8 / len(report.runs)
            values = run.values[metric.name][MEAN_CLASS]
            groups = [
                _there([value for value, of in zip(values, run.fold_of_case, strict=True) if of == fold]) * scale
                for fold in folds
            ]
            places = [place + offset for place in range(len(folds))]
            _boxes(axes, groups, places, 0.62 / len(report.runs), _colour(number))
            axes.plot([], [], color=_colour(number), linewidth=6, label=labels[run.name])
        axes.set_xticks(range(len(folds)), [f"fold {fold}" if fold.isdigit() else "all cases" for fold in folds])
        axes.grid(axis="x", visible=False)
        axes.set_xlim(-0.6, len(folds) - 0.4)
        axes.set_ylabel(f"{metric.name}, mean over classes ({unit})")
        _legend_above(axes)
        return figure


def slope_plot(report: Report, candidate: str, metric: Metric) -> Figure:
    """Draw one line per case from the baseline's value to the candidate's."""
    before, after = _pairs(report, candidate, metric)
    labels = short_names([run.name for run in report.runs])
    gains = (after - before) * (1 if metric.higher_is_better else -1)
    margin = metric.same_within + 1e-9
    scale, unit = _scale(metric)
    with _style():
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
        _legend_above(axes, columns=2)
        return figure


def bland_altman_plot(report: Report, candidate: str, metric: Metric) -> Figure:
    """Each case's difference over its mean of both runs, with the mean difference and the 95 % limits of agreement."""
    before, after = _pairs(report, candidate, metric)
    labels = short_names([run.name for run in report.runs])
    scale, unit = _scale(metric)
    middle, difference = (before + after) / 2 * scale, (after - before) * scale
    with _style():
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
            axes.annotate(
                with_minus(f"{name} {value:+.2f}"),
                (1, value),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color="#a84300",
                fontsize=9,
            )
        axes.set_xlabel(f"mean {metric.name} of both runs ({unit})")
        axes.set_ylabel(f"{labels[candidate]} − {labels[report.baseline]} ({unit})")
        return figure


def learning_plot(report: Report) -> Figure:
    """nnU-Net's pseudo Dice over epochs and over hours of training; the mean of the folds, each fold behind it."""
    labels = short_names([run.name for run in report.runs])
    with _style():
        figure = Figure(figsize=(11, 4.2))
        over_epochs, over_hours = figure.subplots(1, 2, sharey=True)
        figure.subplots_adjust(wspace=0.08)
        for number, run in enumerate(report.runs):
            style = {"color": _colour(number), "linestyle": _line_style(number)}
            _draw_curves(over_epochs, run.curves, lambda curve: curve.epochs, style, labels[run.name])
            _draw_curves(over_hours, run.curves, lambda curve: curve.hours, style, labels[run.name])
            for cost in run.costs:
                if cost.hours is not None and cost.mean_validation_dice is not None:
                    over_hours.plot(
                        cost.hours, cost.mean_validation_dice * 100, "D", color=_colour(number), markersize=6
                    )
        over_epochs.set_xlabel("epoch")
        over_epochs.set_ylabel("pseudo Dice in training, mean over classes (%)")
        over_hours.set_xlabel("hours of training (◆ Dice of the validation afterwards)")
        _legend_above(over_epochs)
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
        axes.boxplot(
            [group],
            positions=[place],
            widths=[width],
            showfliers=False,
            manage_ticks=False,
            boxprops={"color": colour, "linewidth": 1.4},
            whiskerprops={"color": colour, "linewidth": 1.2},
            capprops={"color": colour, "linewidth": 1.2},
            medianprops={"color": "#1b2126", "linewidth": 1.8},
        )


def _pairs(report: Report, candidate: str, metric: Metric) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    columns = [report.run(name).values[metric.name][MEAN_CLASS] for name in (report.baseline, candidate)]
    pairs = [(a, b) for a, b in zip(*columns, strict=True) if a is not None and b is not None]
    before, after = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return before, after


def _there(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([value for value in values if value is not None], dtype=np.float64)


def _scale(metric: Metric) -> tuple[float, str]:
    return (1.0, metric.unit) if metric.unit else (100.0, "%")


def _legend_above(axes: Axes, columns: int = 4) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, borderaxespad=0.3, handlelength=1.8)


def _slant_long_labels(axes: Axes, names: Sequence[str]) -> None:
    if max(map(len, names)) * len(names) > 90:
        axes.tick_params(axis="x", labelrotation=35)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
