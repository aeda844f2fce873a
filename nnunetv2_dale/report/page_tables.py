"""The page's tables: columns and cells as the shared template `table` takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nnunetv2_dale.nnunet_files.results.training_logs import folds_of_each
from nnunetv2_dale.report.cost_tables import cost_table, fold_cost_table
from nnunetv2_dale.report.metrics import LESION_F1
from nnunetv2_dale.report.page_cells import (
    Cell,
    Table,
    cell,
    column,
    missing,
    number_cell,
    number_column,
    signed,
)
from nnunetv2_dale.report.report_data import MEAN_CLASS, Comparison, Report
from nnunetv2_dale.report.tables import p_text

_FOUND = ("Precision", "Recall", LESION_F1)
_IN_WORDS = {LESION_F1: "F1 of connected parts"}
_REGION_TITLE = {"fuzzy": "inside", "clear": "outside"}


def tables_of(report: Report, labels: dict[str, str]) -> dict[str, Table | None]:
    """Return every table of the page; None where there is nothing to show."""
    return {
        "overall": _comparison_table(
            report, labels, lambda row: row.region == "all" and row.metric not in _FOUND, "Whole image"
        ),
        "found": _comparison_table(
            report, labels, lambda row: row.metric in _FOUND, "What was found: precision, recall, connected parts"
        ),
        "lesions": _lesion_table(report, labels),
        "regions": _comparison_table(
            report, labels, lambda row: row.region != "all", "Inside and outside the fuzzy region"
        ),
        "cost": cost_table(report, labels),
        "fold_cost": fold_cost_table(report, labels),
        "empty": _empty_table(report, labels),
        "cases": _case_table(report, labels),
        "excluded": _excluded_table(report, labels),
        "misplaced": _misplaced_table(report, labels),
        "runs": _run_table(report, labels),
        "dale": _dale_table(report, labels),
    }


def _comparison_table(
    report: Report, labels: dict[str, str], wanted: Callable[[Comparison], bool], caption: str
) -> Table | None:
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


def _empty_table(report: Report, labels: dict[str, str]) -> Table:
    columns = [
        column("Class"),
        column("Run"),
        number_column("Both empty", "not counted"),
        number_column("Missed", "only the prediction is empty: Dice 0, no distance"),
        number_column("False", "only the reference is empty: Dice 0, no distance"),
    ]
    rows = [
        [
            report.class_title(count.class_key),
            labels[run.name],
            *(cell(str(n), n) for n in (count.both_empty, count.prediction_empty, count.reference_empty)),
        ]
        for position in range(len(report.classes))
        for run in report.runs
        for count in [run.empty[position]]
    ]
    return Table(f"Empty classes among {len(report.case_names)} cases", columns, rows)


def _lesion_table(report: Report, labels: dict[str, str]) -> Table | None:
    columns = [
        column("Class"),
        column("Run"),
        number_column("Cases", "in which the reference or the prediction has any; the others are not counted"),
        number_column("In references", "connected parts of the references"),
        number_column("Found", "of those, matched to a predicted one at IoU above 0.1"),
        number_column("Missed", "of those, not matched"),
        number_column("Predicted", "connected parts of the predictions"),
        number_column("False", "of those, not matched"),
    ]
    rows: list[list[Any]] = [
        [
            report.class_title(total.class_key),
            labels[run.name],
            *(
                cell(str(n), n)
                for n in (
                    len(report.case_names) - run.empty[position].both_empty,
                    total.in_reference,
                    total.matched,
                    total.in_reference - total.matched,
                    total.in_prediction,
                    total.in_prediction - total.matched,
                )
            ),
        ]
        for position in range(len(report.classes))
        for run in report.runs
        for total in run.lesions[position : position + 1]
    ]
    return Table(f"Connected parts in {len(report.case_names)} cases", columns, rows) if rows else None


def _case_table(report: Report, labels: dict[str, str]) -> Table:
    columns = [column("Case"), *([column("Patient")] if report.patients else []), column("Fold")]
    columns += [number_column(labels[run.name]) for run in report.runs]
    columns += [
        number_column(f"{labels[run.name]} − baseline" if len(report.runs) > 2 else "Difference")
        for run in report.runs[1:]
    ]
    rows: list[list[Any]] = []
    for number, case in enumerate(report.case_names):
        values = [run.values["Dice"][MEAN_CLASS][number] for run in report.runs]
        row: list[Any] = [
            case,
            *([report.patients[number]] if report.patients else []),
            report.runs[0].fold_of_case[number],
        ]
        row += [missing() if value is None else cell(f"{100 * value:.2f}", value) for value in values]
        row += [_difference(values[0], value) for value in values[1:]]
        rows.append(row)
    return Table("Dice of every case in %, mean over classes", columns, rows)


def _difference(baseline: float | None, value: float | None) -> Cell:
    return (
        missing() if baseline is None or value is None else cell(f"{100 * (value - baseline):+.2f}", value - baseline)
    )


def _excluded_table(report: Report, labels: dict[str, str]) -> Table | None:
    rows: list[list[Any]] = [
        [item.case, ", ".join(labels[name] for name in item.missing_from)] for item in report.excluded
    ]
    return Table("Cases left out", [column("Case"), column("Not in")], rows) if rows else None


def _misplaced_table(report: Report, labels: dict[str, str]) -> Table | None:
    columns = [
        column("Case"),
        column("File"),
        column("Other than the reference's"),
        number_column("Apart, mm", "voxels of the same index, at most"),
    ]
    rows: list[list[Any]] = [
        [
            item.case,
            "image" if item.run is None else f"prediction of {labels[item.run]}",
            " and ".join(item.differs),
            cell(f"{item.apart_mm:.2f}", item.apart_mm),
        ]
        for item in report.misplaced
    ]
    return Table("Files stored elsewhere than their reference", columns, rows) if rows else None


def _run_table(report: Report, labels: dict[str, str]) -> Table:
    names = list(dict.fromkeys(name for run in report.runs for name in run.facts))
    rows: list[list[Any]] = [["folds", *(", ".join(run.folds) for run in report.runs)]]
    rows += [["folds missing", *(", ".join(run.missing_folds) or "none" for run in report.runs)]]
    rows += [["cases", *(str(run.n_cases) for run in report.runs)]]
    if any(run.ran for run in report.runs):
        rows += [["what ran", *(_ran(run.ran) for run in report.runs)]]
    rows += [["seed", *(run.seed or "not recorded (plain nnU-Net fixes none)" for run in report.runs)]]
    rows += [[name, *(run.facts.get(name, "not recorded") for run in report.runs)] for name in names]
    return Table("What was compared", [column(""), *(column(labels[run.name]) for run in report.runs)], rows)


def _ran(sentences: Mapping[str, str]) -> str:
    folds = folds_of_each(sentences).items()
    return "; ".join(f"{sentence} (fold {', '.join(of)})" for sentence, of in folds) or "not recorded"


def _dale_table(report: Report, labels: dict[str, str]) -> Table | None:
    runs = [run for run in report.runs if run.dale]
    names = list(dict.fromkeys(name for run in runs for name in run.dale or {}))
    rows: list[list[Any]] = [[name, *(json.dumps((run.dale or {}).get(name)) for run in runs)] for name in names]
    columns = [column("Setting"), *(column(labels[run.name]) for run in runs)]
    return Table("DALE settings", columns, rows) if rows else None
