"""The page's tables of comparisons: a row per metric and class, with differences, intervals and tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnunetv2_dale.report.metrics import LESION_F1
from nnunetv2_dale.report.page_cells import Table, cell, counts, interval_cell, missing, number_cell
from nnunetv2_dale.report.report_data import MEAN_CLASS, Comparison, Report
from nnunetv2_dale.report.tables import p_text

_IN_WORDS = {LESION_F1: "F1 of connected parts"}
_REGION_TITLE = {"fuzzy": "inside", "clear": "outside"}
_OF_TRAINERS = {"p (trials)": "two-sided paired t-test over the trainings' means"}
_MODELS = "; over cases, of these two models: it says nothing of the trainers"
_OF_MODELS = {
    "p (t)": "two-sided paired t-test" + _MODELS,
    "p (W)": "two-sided Wilcoxon signed-rank test" + _MODELS,
    "p (Holm)": "Wilcoxon, adjusted over the classes" + _MODELS,
}


def comparison_table(
    report: Report, labels: dict[str, str], wanted: Callable[[Comparison], bool], caption: str
) -> Table | None:
    """Return the table of the rows that are wanted; None where there is none."""
    rows = [row for row in report.comparisons if wanted(row)]
    if not rows:
        return None
    of_trainers = any(row.of_trainers for row in rows)
    several, by_region = len(report.runs) > 2, any(row.region != "all" for row in rows)
    words = [*(["Candidate"] if several else []), "Metric", *(["Region"] if by_region else []), "Class"]
    numbers = {
        "n": "cases in which both runs have a value",
        "Baseline": f"mean of {labels[report.baseline]}",
        "Candidate": "mean of the candidate",
        "Difference": "candidate − baseline",
        "95 % interval": "bootstrap interval of the mean difference",
        **(_OF_TRAINERS if of_trainers else _OF_MODELS),
        "Better": "cases better by more than 1 point, or 1 mm",
        "Same": "cases within 1 point, or 1 mm",
        "Worse": "cases worse by more than 1 point, or 1 mm",
        **({} if of_trainers else {"Resolved": "smallest difference to be shown with 80 % power"}),
    }
    cells = [[*([labels[row.candidate]] if several else []), *_comparison_cells(row)] for row in rows]
    return Table(caption, words, numbers, cells)


def _comparison_cells(row: Comparison) -> list[Any]:
    is_mean = row.class_key == MEAN_CLASS
    p_values = (row.p_trials,) if row.of_trainers else (row.p_ttest, row.p_wilcoxon, row.p_holm)
    return [
        f"{_IN_WORDS.get(row.metric, row.metric.split(' (')[0])}, {row.unit or '%'}",
        *([_REGION_TITLE[row.region]] if row.region != "all" else []),
        # The mean sorts before every class.
        cell("mean", "0 mean", "strong") if is_mean else cell(row.class_name, row.class_name),
        *counts(row.n),
        number_cell(row.mean_baseline, row.unit),
        number_cell(row.mean, row.unit),
        number_cell(row.difference, row.unit, _direction(row), sign=True),
        interval_cell(row.ci95, row.unit),
        *(missing() if p is None else cell(p_text(p), p) for p in p_values),
        *counts(row.n_better, row.n_same, row.n_worse),
        *([] if row.of_trainers else [number_cell(row.detectable_difference, row.unit)]),
    ]


def _direction(row: Comparison) -> str:
    """Coloured only where the interval over trainings and cases leaves out 0; the sign is printed as well."""
    if not row.of_trainers or row.ci95 is None or row.difference is None or row.ci95[0] <= 0 <= row.ci95[1]:
        return ""
    return "better" if (row.difference > 0) == row.higher_is_better else "worse"
