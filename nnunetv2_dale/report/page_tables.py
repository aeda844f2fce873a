"""The page's tables: columns and cells as the shared template `table` takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.results.training_logs import folds_of_each
from nnunetv2_dale.report.comparison_table import comparison_table
from nnunetv2_dale.report.cost_tables import cost_table, fold_cost_table
from nnunetv2_dale.report.metrics import LESION_F1
from nnunetv2_dale.report.page_cells import Table, counts, number
from nnunetv2_dale.report.report_data import MEAN_CLASS, Report, Run

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
    numbers = {
        "Both empty": "not counted",
        "Missed": "only the prediction is empty: Dice 0, no distance",
        "False": "only the reference is empty: Dice 0, no distance",
    }
    rows = [
        [name, labels[run.name], *counts(count.both_empty, count.prediction_empty, count.reference_empty)]
        for name, run, count in _of_classes(report, "empty")
    ]
    return Table(f"Empty classes among {counted(len(report.case_names), 'case')}", ["Class", "Run"], numbers, rows)


def _lesion_table(report: Report, labels: dict[str, str]) -> Table | None:
    numbers = {
        "Cases": "in which the reference or the prediction has any; the others are not counted",
        "In references": "connected parts of the references",
        "Found": "of those, matched to a predicted one at IoU above 0.1",
        "Missed": "of those, not matched",
        "Predicted": "connected parts of the predictions",
        "False": "of those, not matched",
    }
    cases = len(report.case_names)
    empty = {(name, run.name): count.both_empty for name, run, count in _of_classes(report, "empty")}
    rows = [
        [
            name,
            labels[run.name],
            *counts(cases - empty[name, run.name], total.in_reference, total.matched),
            *counts(total.in_reference - total.matched, total.in_prediction, total.in_prediction - total.matched),
        ]
        for name, run, total in _of_classes(report, "lesions")
    ]
    return Table(f"Connected parts in {counted(cases, 'case')}", ["Class", "Run"], numbers, rows) if rows else None


def _of_classes(report: Report, what: str) -> list[tuple[str, Run, Any]]:
    """Class by class, each run's record of what is counted of the class."""
    return [
        (report.class_title(record.class_key), run, record)
        for position in range(len(report.classes))
        for run in report.runs
        for record in getattr(run, what)[position : position + 1]
    ]


def _case_table(report: Report, labels: dict[str, str]) -> Table:
    of_runs = [labels[run.name] for run in report.runs]
    differences = [f"{name} − baseline" if len(of_runs) > 2 else "Difference" for name in of_runs[1:]]
    patients = [[each] for each in report.patients or []] or [[] for _ in report.case_names]
    rows: list[list[Any]] = []
    for place, case in enumerate(report.case_names):
        baseline, *others = values = [run.values["Dice"][MEAN_CLASS][place] for run in report.runs]
        gains = [None if baseline is None or value is None else value - baseline for value in others]
        dice = [*(number(value, ".2f", 100) for value in values), *(number(gain, "+.2f", 100) for gain in gains)]
        rows.append([case, *patients[place], report.runs[0].fold_of_case[place], *dice])
    words = ["Case", *(["Patient"] if report.patients else []), "Fold"]
    return Table("Dice of every case in %, mean over classes", words, dict.fromkeys([*of_runs, *differences], ""), rows)


def _excluded_table(report: Report, labels: dict[str, str]) -> Table | None:
    rows: list[list[Any]] = [
        [item.case, ", ".join(labels[name] for name in item.missing_from)] for item in report.excluded
    ]
    return Table("Cases left out", ["Case", "Not in"], {}, rows) if rows else None


def _misplaced_table(report: Report, labels: dict[str, str]) -> Table | None:
    words = ["Case", "File", "Other than the reference's"]
    numbers = {"Apart, mm": "voxels of the same index, at most"}
    rows: list[list[Any]] = [
        [
            item.case,
            "image" if item.run is None else f"prediction of {labels[item.run]}",
            " and ".join(item.differs),
            number(item.apart_mm, ".2f"),
        ]
        for item in report.misplaced
    ]
    return Table("Files stored elsewhere than their reference", words, numbers, rows) if rows else None


def _run_table(report: Report, labels: dict[str, str]) -> Table:
    names = list(dict.fromkeys(name for run in report.runs for name in run.facts))
    rows: list[list[Any]] = [["folds", *(", ".join(run.folds) for run in report.runs)]]
    rows += [["folds missing", *(", ".join(run.missing_folds) or "none" for run in report.runs)]]
    rows += [["cases", *(str(run.n_cases) for run in report.runs)]]
    if any(run.ran for run in report.runs):
        rows += [["what ran", *(_ran(run.ran) for run in report.runs)]]
    rows += [["seed", *(run.seed or "not recorded (plain nnU-Net fixes none)" for run in report.runs)]]
    rows += [[name, *(run.facts.get(name, "not recorded") for run in report.runs)] for name in names]
    return Table("What was compared", ["", *(labels[run.name] for run in report.runs)], {}, rows)


def _ran(sentences: Mapping[str, str]) -> str:
    folds = folds_of_each(sentences).items()
    return "; ".join(f"{sentence} (fold {', '.join(of)})" for sentence, of in folds) or "not recorded"


def _dale_table(report: Report, labels: dict[str, str]) -> Table | None:
    runs = [run for run in report.runs if run.dale]
    names = list(dict.fromkeys(name for run in runs for name in run.dale or {}))
    rows: list[list[Any]] = [[name, *(json.dumps((run.dale or {}).get(name)) for run in runs)] for name in names]
    return Table("DALE settings", ["Setting", *(labels[run.name] for run in runs)], {}, rows) if rows else None
