"""The page's tables of comparisons: a row per metric and class, with differences, intervals and tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnunetv2_dale.report.metrics import LESION_F1
from nnunetv2_dale.report.page_cells import Cell, Table, cell, column, missing, number_cell, number_column, signed
from nnunetv2_dale.report.report_data import MEAN_CLASS, Comparison, Report
from nnunetv2_dale.report.tables import p_text

_IN_WORDS = {LESION_F1: "F1 of connected parts"}
_REGION_TITLE = {"fuzzy": "inside", "clear": "outside"}


def comparison_table(
    report: Report, labels: dict[str, str], wanted: Callable[[Comparison], bool], caption: str
) -> Table | None:
    """Return the table of the rows that are wanted; None where there is none."""
    rows = [row for row in report.comparisons if wanted(row)]
    if not rows:
        return None
    of_trainers = any(row.of_trainers for row in rows)
    several, by_region = len(report.runs) > 2, any(row.region != "all" for row in rows)
    columns = [
        *([column("Candidate")] if several else []),
        column("Metric"),
        *([column("Region")] if by_region else []),
        column("Class"),
        number_column("n", "cases in which both runs have a value"),
        number_column("Baseline", f"mean of {labels[report.baseline]}"),
        number_column("Candidate", "mean of the candidate"),
        number_column("Difference", "candidate − baseline"),
        number_column("95 % interval", "bootstrap interval of the mean difference"),
        *_p_columns(of_trainers),
        number_column("Better", "cases better by more than 1 point, or 1 mm"),
        number_column("Same", "cases within 1 point, or 1 mm"),
        number_column("Worse", "cases worse by more than 1 point, or 1 mm"),
        *([] if of_trainers else [number_column("Resolved", "smallest difference to be shown with 80 % power")]),
    ]
    cells = [[*([labels[row.candidate]] if several else []), *_comparison_cells(row)] for row in rows]
    return Table(caption, columns, cells)


def _p_columns(of_trainers: bool) -> list[dict[str, Any]]:
    if of_trainers:
        return [number_column("p (trials)", "two-sided paired t-test over the trainings' means")]
    models = "; over cases, of these two models: it says nothing of the trainers"
    return [
        number_column("p (t)", "two-sided paired t-test" + models),
        number_column("p (W)", "two-sided Wilcoxon signed-rank test" + models),
        number_column("p (Holm)", "Wilcoxon, adjusted over the classes" + models),
    ]


def _comparison_cells(row: Comparison) -> list[Any]:
    interval: Cell = missing()
    if row.ci95 is not None:
        low, high = row.ci95
        interval = cell(f"{signed(low, row.unit)} to {signed(high, row.unit)}", low)
    is_mean = row.class_key == MEAN_CLASS
    p_values = (row.p_trials,) if row.of_trainers else (row.p_ttest, row.p_wilcoxon, row.p_holm)
    return [
        f"{_IN_WORDS.get(row.metric, row.metric.split(' (')[0])}, {row.unit or '%'}",
        *([_REGION_TITLE[row.region]] if row.region != "all" else []),
        # The mean sorts before every class.
        cell("mean", "0 mean", "strong") if is_mean else cell(row.class_name, row.class_name),
        cell(str(row.n), row.n),
        number_cell(row.mean_baseline, row.unit),
        number_cell(row.mean, row.unit),
        number_cell(row.difference, row.unit, _direction(row), sign=True),
        interval,
        *(missing() if p is None else cell(p_text(p), p) for p in p_values),
        *(cell(str(count), count) for count in (row.n_better, row.n_same, row.n_worse)),
        *([] if row.of_trainers else [number_cell(row.detectable_difference, row.unit)]),
    ]


def _direction(row: Comparison) -> str:
    """Coloured only where the interval over trainings and cases leaves out 0; the sign is printed as well."""
    if not row.of_trainers or row.ci95 is None or row.difference is None or row.ci95[0] <= 0 <= row.ci95[1]:
        return ""
    return "better" if (row.difference > 0) == row.higher_is_better else "worse"
