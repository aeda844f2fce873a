"""What the trainings cost, as tables of the page: every run, and every fold."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from nnunetv2_dale.report.cost import FoldCost, pseudo_dice_at, shared_hours
from nnunetv2_dale.report.page_cells import Cell, Table, cell, missing, number
from nnunetv2_dale.report.report_data import Report, Run


def cost_table(report: Report, labels: dict[str, str]) -> Table | None:
    """Return one line a run, over the folds that are finished; None without any record."""
    if not any(run.costs for run in report.runs):
        return None
    hours = shared_hours([run.finished_curves for run in report.runs])
    numbers = {
        "Folds": "finished folds with a record",
        "Epochs": "mean of the folds",
        "s / epoch": "mean over all epochs, with saving and plotting: epochs × s / epoch = h / fold",
        "h / fold": "hours of training, mean of the folds",
        "h in all": "",
        "× baseline": "hours a fold over the baseline's",
    }
    if hours is not None:
        numbers[f"Pseudo Dice (%) at {_duration(hours)}"] = "mean of the folds, at the same training time"
    rows = [
        [*_cost_cells(run, report, labels), *([_equal_time(run, hours)] if hours is not None else [])]
        for run in report.runs
    ]
    return Table("Training cost, from nnU-Net's own records", ["Run"], numbers, rows)


def _cost_cells(run: Run, report: Report, labels: dict[str, str]) -> list[Any]:
    costs = run.finished_costs
    if not costs:
        return [labels[run.name], *(missing() for _ in range(6))]
    hours, baseline = _mean_hours(costs), _mean_hours(report.runs[0].finished_costs)
    return [
        labels[run.name],
        number(len(costs), "d"),
        number(fmean(cost.epochs for cost in costs), "g"),
        number(_mean_seconds(costs), ".1f"),
        number(hours, ".3g"),
        number(hours and hours * len(costs), ".3g"),
        number(hours / baseline if hours and baseline else None, ".2f"),
    ]


def _equal_time(run: Run, hours: float) -> Cell:
    reached = [pseudo_dice_at(curve, hours) for curve in run.finished_curves]
    there = [value for value in reached if value is not None]
    return number(fmean(there) if there and len(there) == len(reached) else None, ".2f", 100)


def _mean_seconds(costs: Sequence[FoldCost]) -> float | None:
    """Of all epochs of the folds, so that it agrees with the hours."""
    known = [(cost.seconds_per_epoch, cost.epochs) for cost in costs if cost.seconds_per_epoch is not None]
    return sum(seconds * epochs for seconds, epochs in known) / sum(epochs for _, epochs in known) if known else None


def _mean_hours(costs: Sequence[FoldCost]) -> float | None:
    hours = [cost.hours for cost in costs if cost.hours is not None]
    return fmean(hours) if hours and len(hours) == len(costs) else None


def fold_cost_table(report: Report, labels: dict[str, str]) -> Table | None:
    """Return one line a fold; None without any record."""
    rows = [
        [
            labels[run.name],
            cell(cost.fold if cost.finished else f"{cost.fold} (unfinished)", cost.fold),
            number(cost.epochs, "d"),
            number(cost.seconds_per_epoch, ".1f"),
            number(cost.hours, ".3g"),
            number(cost.mean_validation_dice, ".2f", 100),
        ]
        for run in report.runs
        for cost in run.costs
    ]
    numbers = dict.fromkeys(("Fold", "Epochs", "s / epoch", "Hours", "Validation Dice (%)"), "")
    return Table("Training cost of each fold", ["Run"], numbers, rows) if rows else None


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.3g} h"
    return f"{hours * 60:.3g} min" if hours * 60 >= 1 else f"{hours * 3600:.3g} s"
