"""What the trainings cost, as tables of the page: every run, and every fold."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from nnunetv2_dale.report.cost import FoldCost, pseudo_dice_at, shared_hours
from nnunetv2_dale.report.page_cells import Cell, Table, cell, column, missing, number_column
from nnunetv2_dale.report.report_data import Report, Run


def cost_table(report: Report, labels: dict[str, str]) -> Table | None:
    """Return one line a run, over the folds that are finished; None without any record."""
    if not any(run.costs for run in report.runs):
        return None
    hours = shared_hours([run.finished_curves for run in report.runs])
    columns = [
        column("Run"),
        number_column("Folds", "finished folds with a record"),
        number_column("Epochs", "mean of the folds"),
        number_column("s / epoch", "mean over all epochs, with saving and plotting: epochs × s / epoch = h / fold"),
        number_column("h / fold", "hours of training, mean of the folds"),
        number_column("h in all"),
        number_column("× baseline", "hours a fold over the baseline's"),
    ]
    if hours is not None:
        columns.append(
            number_column(f"Pseudo Dice at {_duration(hours)}", "mean of the folds, at the same training time")
        )
    rows = [
        [*_cost_cells(run, report, labels), *([_equal_time(run, hours)] if hours is not None else [])]
        for run in report.runs
    ]
    return Table("Training cost, from nnU-Net's own records", columns, rows)


def _cost_cells(run: Run, report: Report, labels: dict[str, str]) -> list[Any]:
    costs = run.finished_costs
    if not costs:
        return [labels[run.name], *(missing() for _ in range(6))]
    hours, baseline = _mean_hours(costs), _mean_hours(report.runs[0].finished_costs)
    seconds = _mean_seconds(costs)
    epochs = fmean(cost.epochs for cost in costs)
    total = [cost.hours for cost in costs]
    return [
        labels[run.name],
        cell(str(len(costs)), len(costs)),
        cell(f"{epochs:g}", epochs),
        missing() if seconds is None else cell(f"{seconds:.1f}", seconds),
        missing() if hours is None else cell(f"{hours:.3g}", hours),
        missing()
        if None in total
        else cell(f"{sum(h for h in total if h is not None):.3g}", sum(h for h in total if h is not None)),
        missing() if not hours or not baseline else cell(f"{hours / baseline:.2f}", hours / baseline),
    ]


def _equal_time(run: Run, hours: float) -> Cell:
    reached = [pseudo_dice_at(curve, hours) for curve in run.finished_curves]
    there = [value for value in reached if value is not None]
    return cell(f"{100 * fmean(there):.2f} %", fmean(there)) if there and len(there) == len(reached) else missing()


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
            cell(str(cost.epochs), cost.epochs),
            missing()
            if cost.seconds_per_epoch is None
            else cell(f"{cost.seconds_per_epoch:.1f}", cost.seconds_per_epoch),
            missing() if cost.hours is None else cell(f"{cost.hours:.3g}", cost.hours),
            missing()
            if cost.mean_validation_dice is None
            else cell(f"{100 * cost.mean_validation_dice:.2f}", cost.mean_validation_dice),
            cost.source,
        ]
        for run in report.runs
        for cost in run.costs
    ]
    columns = [
        column("Run"),
        number_column("Fold"),
        number_column("Epochs"),
        number_column("s / epoch"),
        number_column("Hours"),
        number_column("Validation Dice (%)"),
        column("From"),
    ]
    return Table("Training cost of each fold", columns, rows) if rows else None


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.3g} h"
    return f"{hours * 60:.3g} min" if hours * 60 >= 1 else f"{hours * 3600:.3g} s"
