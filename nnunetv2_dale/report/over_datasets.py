"""One page over the reports of several datasets: where a trainer gains, where it loses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import new_folder
from nnunetv2_dale.pages.html_page import render_page
from nnunetv2_dale.report.page_cells import Table, interval_cell, number_cell, signed
from nnunetv2_dale.report.report_data import MEAN_CLASS, Comparison, Report
from nnunetv2_dale.report.report_folder import FORMAT

SHOWN = ("Dice", "HD95")


@dataclass(frozen=True)
class DatasetRow:
    """A candidate against the baseline on one dataset: means over classes and cases, as the dataset's report has them.

    `trainings` is the smaller number of trainings of the two sides; `low` and `high` end the 95 % interval.
    """

    dataset: str
    configuration: str
    candidate: str
    baseline: str
    metric: str
    unit: str
    trainings: int
    cases: int
    mean_baseline: float | None
    mean: float | None
    difference: float | None
    low: float | None
    high: float | None

    @property
    def trainers(self) -> tuple[str, str]:
        """Of candidate and baseline."""
        return self.candidate, self.baseline


def rows_over_datasets(reports: Sequence[Report]) -> list[DatasetRow]:
    """One row for each report, candidate and metric of `SHOWN`.

    Raises:
        UserError: the same comparison on the same dataset twice.
    """
    rows = [
        _row(report, row)
        for report in reports
        for row in report.comparisons
        if row.metric in SHOWN and row.region == "all" and row.class_key == MEAN_CLASS
    ]
    seen = set()
    for row in rows:
        key = (row.dataset, row.configuration, row.trainers, row.metric)
        if key in seen:
            raise UserError(
                f"two of the reports compare {row.candidate} with {row.baseline} on {row.dataset}; give each once"
            )
        seen.add(key)
    return rows


def _row(report: Report, row: Comparison) -> DatasetRow:
    candidate, baseline = report.run(row.candidate), report.run(row.baseline)
    low, high = row.ci95 or (None, None)
    trainings = min(max(1, len(run.trainings)) for run in (candidate, baseline))
    means = row.mean_baseline, row.mean, row.difference
    # of one trainer with two plans the names differ alone
    trainers = (candidate.trainer, baseline.trainer) if candidate.trainer != baseline.trainer else (None, None)
    trainers = trainers[0] or candidate.name, trainers[1] or baseline.name
    place = report.dataset, candidate.configuration or ""
    return DatasetRow(*place, *trainers, row.metric, row.unit, trainings, row.n, *means, low, high)


def verdict_over_datasets(rows: Sequence[DatasetRow]) -> str:
    """One sentence on the mean Dice of one pair of trainers over its datasets."""
    candidate, baseline = rows[0].trainers
    differences = [row.difference for row in rows if row.metric == "Dice" and row.difference is not None]
    if not differences:
        return f"{candidate} and {baseline} have no dataset in which a Dice is defined for both."
    higher = sum(each > 0 for each in differences)
    mean = sum(differences) / len(differences)
    several = len({row.configuration for row in rows}) > 1
    return (
        f"The mean Dice of {candidate} is above that of {baseline} on {higher} of {len(differences)} "
        f"{'datasets and configurations' if several else 'datasets'}: "
        f"{signed(mean)} points in the mean, {signed(min(differences))} to {signed(max(differences))}."
    )


def write_over_datasets(reports: Sequence[Report], output: Path) -> None:
    """Write `report.html`, `report.json` and `comparisons.csv` into a folder that is replaced."""
    rows = rows_over_datasets(reports)
    content = {"format": f"{FORMAT}_over_datasets", "format_version": 1, "rows": [asdict(row) for row in rows]}
    with new_folder(output, overwrite=True) as folder:
        (folder / "report.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        (folder / "report.html").write_text(_page(rows), encoding="utf-8")
        names = [each.name for each in fields(DatasetRow)]
        table = pandas.DataFrame([asdict(row) for row in rows], columns=names, dtype=object)
        table.to_csv(folder / "comparisons.csv", index=False, lineterminator="\n")


def _page(rows: Sequence[DatasetRow]) -> str:
    pairs = dict.fromkeys(row.trainers for row in rows)
    context: dict[str, Any] = {
        "title": f"One comparison over {len({row.dataset for row in rows})} datasets",
        "kicker": "each row is a report of its own",
        "answers": [verdict_over_datasets([row for row in rows if row.trainers == pair]) for pair in pairs],
        "single": sum(row.trainings < 2 for row in rows if row.metric == SHOWN[0]),
        "tables": [_table([row for row in rows if row.trainers == pair]) for pair in pairs],
        "created": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M UTC}",
    }
    return render_page("over_datasets.html.j2", "nnunetv2_dale.report", context)


def _table(rows: Sequence[DatasetRow]) -> Table:
    numbers = dict.fromkeys(("Cases", "Trainings a side", "Baseline", "Candidate", "Difference"), "")
    numbers["95 % interval"] = "over trainings and cases; over cases alone with one training a side"
    shown = [
        [
            *(row.dataset, row.configuration, f"{row.metric} ({row.unit or '%'})", row.cases, row.trainings),
            number_cell(row.mean_baseline, row.unit),
            number_cell(row.mean, row.unit),
            number_cell(row.difference, row.unit, sign=True),
            interval_cell(None if row.low is None or row.high is None else (row.low, row.high), row.unit),
        ]
        for row in sorted(rows, key=lambda row: SHOWN.index(row.metric))
    ]
    candidate, baseline = rows[0].trainers
    caption = f"{candidate} against {baseline}: means over cases and classes"
    return Table(caption, ["Dataset", "Configuration", "Metric"], numbers, shown)
