"""The report's HTML page, drawn from a `Report` alone (and the pictures that lie beside its `report.json`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.pages.html_page import figure_data_uri, png_data_uri, render_page
from nnunetv2_dale.pages.private_content import Held
from nnunetv2_dale.report import page_tables, pair_plots, plots
from nnunetv2_dale.report.overlays import ranked_cases
from nnunetv2_dale.report.page_cells import interval_text, signed, with_minus
from nnunetv2_dale.report.report_data import MEAN_CLASS, Comparison, Metric, Report, Run
from nnunetv2_dale.report.report_folder import holds_paths
from nnunetv2_dale.report.sides import labels_of
from nnunetv2_dale.report.tables import p_text

_SHOWN_METRICS = ("Dice", "HD95", "ASD", "Surface Dice")
_MOST_DOTS = 6000  # that a vector graphic takes
_FEWEST = 6  # with fewer no difference is significant by Wilcoxon's test, and a bootstrap interval is too short


def render_report(report: Report, folder: Path) -> str:
    """Render the page as text.

    Args:
        folder: where `report.overlays` are.
    """
    labels = labels_of(report)
    known = {metric.name: metric for metric in report.metrics}
    shown = [known[name] for name in _SHOWN_METRICS if name in known]
    compared = {row.metric for row in report.comparisons if row.difference is not None}
    dots = len(report.case_names) * len(report.runs) * len(report.classes)
    folds = any(run.folds != ["-"] for run in report.runs)
    curves = any(curve.pseudo_dice for run in report.runs for curve in run.curves)
    context = {
        "report": report,
        "title": f"{' and '.join(labels[run.name] for run in report.runs[1:])} against {labels[report.baseline]}",
        "kicker": f"{report.dataset} · cross-validation compared case by case",
        "labels": labels,
        "signed": signed,
        "candidates": [_candidate(report, run, labels, folder, known["Dice"]) for run in report.runs[1:]],
        "of_trainers": any(row.of_trainers for row in report.comparisons),
        "warnings": [*report.remarks, *report.missing],
        "difference_figures": {
            metric.name: figure_data_uri(plots.difference_plot(report, metric))
            for metric in shown
            if metric.name in compared
        },
        "distribution_figures": {
            metric.name: figure_data_uri(
                plots.distribution_plot(report, metric), image_format="png" if dots > _MOST_DOTS else "svg"
            )
            for metric in shown
        },
        "fold_figure": figure_data_uri(plots.fold_plot(report, known["Dice"])) if folds else None,
        "learning_figure": figure_data_uri(plots.learning_plot(report)) if curves else None,
        "holds": Held(bool(report.overlays), holds_paths(report)),
        "tables": page_tables.tables_of(report, labels),
    }
    return render_page("page.html.j2", "nnunetv2_dale.report", context)


def _candidate(report: Report, run: Run, labels: dict[str, str], folder: Path, metric: Metric) -> dict[str, Any]:
    """What the page says of one candidate, most of it of its Dice, the metric."""
    is_of_mean = (run.name, metric.name, MEAN_CLASS)
    dice = next(row for row in report.comparisons if (row.candidate, row.metric, row.class_key) == is_of_mean)
    pairs = {"slope": pair_plots.slope_plot, "bland_altman": pair_plots.bland_altman_plot}
    shown = dice.difference is not None
    return {
        "label": labels[run.name],
        "verdict": verdict(dice, labels),
        "cards": list(_cards(dice, labels)),
        **{name: figure_data_uri(plot(report, run.name, metric)) if shown else None for name, plot in pairs.items()},
        "ranked": ranked_cases(report, run.name),
        "pictures": {
            picture.case: (png_data_uri((folder / picture.file).read_bytes()), picture.description)
            for picture in report.overlays
            if picture.candidate == run.name
        },
    }


def verdict(row: Comparison, labels: dict[str, str]) -> str:
    """Return one sentence on the mean Dice that claims no more than its interval does."""
    candidate, baseline = labels[row.candidate], labels[row.baseline]
    if row.difference is None:
        return f"{candidate} and {baseline} have no case in which a Dice is defined for both."
    cases = f"{counted(row.n, 'case')}"
    cases += f" of {counted(row.n_patients, 'patient')}" if row.n_patients is not None else ""
    cases += (
        f" ({counted(row.n_not_counted, 'more has', 'more have')} no Dice: empty masks)" if row.n_not_counted else ""
    )
    if row.ci95 is None or (row.n if row.n_patients is None else row.n_patients) < _FEWEST:
        return f"{candidate} and {baseline} share {cases}: too few for a statement."
    low, high = (100 * bound for bound in row.ci95)
    points = 100 * abs(row.difference)
    over = " over trainings and cases" if row.of_trainers else ""
    interval = f"95 % interval of the difference{over} {with_minus(f'{low:+.2f} to {high:+.2f} points')}"
    if low <= 0 <= high:
        if row.detectable_difference is not None:
            interval += f"; {100 * row.detectable_difference:.2f} points could have been shown"
        return f"No difference in mean Dice between {candidate} and {baseline} is shown on {cases} ({interval})."
    direction = "higher" if row.difference > 0 else "lower"
    return f"{candidate} has a mean Dice {points:.2f} points {direction} than {baseline} on {cases} ({interval})."


def _cards(row: Comparison, labels: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, value and detail; the last are how far two trainers' trainings lie apart, or what the cases could show."""
    if row.difference is None:
        return
    interval = "" if row.ci95 is None else f"95 % interval {interval_text(row.ci95)}"
    means = [f"{100 * (mean or 0):.2f} %" for mean in (row.mean, row.mean_baseline)]
    yield "Mean Dice", means[0], f"{labels[row.baseline]}: {means[1]}"
    yield "Difference", f"{signed(row.difference)} points", interval
    cases = f"{row.n_better} · {row.n_same} · {row.n_worse}"
    yield "Cases better · same · worse", cases, "same: within 1 point"
    if not row.of_trainers:
        detectable = "–" if row.detectable_difference is None else f"{100 * row.detectable_difference:.2f} points"
        yield "Smallest difference that could be shown", detectable, "80 % power, α = 0.05"
        return
    spread = {row.candidate: row.sd_trainings, row.baseline: row.sd_trainings_baseline}
    apart = "; ".join(f"{labels[name]} {100 * (value or 0):.2f}" for name, value in spread.items())
    yield "Spread of the trainings", f"{apart} points", "standard deviation of mean Dice"
    yield "Two-sided p", p_text(row.p_trials), "paired t-test over the trainings"
