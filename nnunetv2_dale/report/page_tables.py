"""The page's tables: columns and cells as the shared template `table` takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nnunetv2_dale.nnunet_files.results.training_logs import folds_of_each
from nnunetv2_dale.report.comparison_table import comparison_table
from nnunetv2_dale.report.cost_tables import cost_table, fold_cost_table
from nnunetv2_dale.report.metrics import LESION_F1
from nnunetv2_dale.report.page_cells import Table, column, number, number_column
from nnunetv2_dale.report.report_data import MEAN_CLASS, Report

_FOUND = ("Precision", "Recall", LESION_F1)


def tables_of(report: Report, labels: dict[str, str]) -> dict[str, Table | None]:
    """Return every table of the page; None where there is nothing to show."""
    return {
        "overall": comparison_table(
            report, labels, lambda row: row.region == "all" and row.metric not in _FOUND, "Whole image"
        ),
        "found": comparison_table(
            report, labels, lambda row: row.metric in _FOUND, "What was found: precision, recall, connected parts"
        ),
        "lesions": _lesion_table(report, labels),
        "regions": comparison_table(
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
            *(number(n, "d") for n in (count.both_empty, count.prediction_empty, count.reference_empty)),
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
                number(n, "d")
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
    for place, case in enumerate(report.case_names):
        values = [run.values["Dice"][MEAN_CLASS][place] for run in report.runs]
        row: list[Any] = [
            case,
            *([report.patients[place]] if report.patients else []),
            report.runs[0].fold_of_case[place],
        ]
        row += [number(value, ".2f", 100) for value in values]
        baseline, *others = values
        row += [
            number(None if baseline is None or value is None else value - baseline, "+.2f", 100) for value in others
        ]
        rows.append(row)
    return Table("Dice of every case in %, mean over classes", columns, rows)


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
            number(item.apart_mm, ".2f"),
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
