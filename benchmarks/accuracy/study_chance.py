"""What trainings differ by on their own, and what is left of a gain beside it: several seeds per fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from study_plan import TABLES
from study_tables import Result, case_values, markdown, read

_BUDGET = 4000  # batches of plain nnU-Net, in all of these trainings


def seeds_table(folder: Path) -> str:
    """With its title. Per labels and arm: plain and the arm on the same batches from the same first weights.

    Empty without results of the table "seeds"; its first seed is in "confirm" and "readers".
    """
    planned = {(run.data, run.labels, run.configuration) for run in TABLES["seeds"]}
    results = [
        each
        for table in ("confirm", "readers", "seeds")
        for each in read(folder, table)
        if each["run"]["budget"] == _BUDGET
        and (each["run"]["data"], each["run"]["labels"], each["run"]["configuration"]) in planned
    ]
    rows = []
    shown = [(each["run"]["labels"], each["run"]["arm"]) for each in read(folder, "seeds")]
    for labels, arm in dict.fromkeys(shown):
        plain, other = _dice(results, labels, "plain"), _dice(results, labels, arm)
        if arm != "plain" and plain.keys() & other.keys():  # of a study that is being made, plain may be missing
            rows.append(_row(labels, arm, plain, other))
    header = (
        "labels | arm | folds × seeds | Dice, plain | Dice, arm | difference (95 % interval over trainings) "
        "| lowest to highest | SD between seeds, plain | SD between seeds, arm"
    )
    return f"### Several seeds beside plain nnU-Net\n\n{markdown(header, rows)}" if rows else ""


def paired(plain: dict[tuple[int, int], float], other: dict[tuple[int, int], float]) -> NDArray[np.float64]:
    """Differences of the trainings (fold, seed) that both have."""
    return np.array([other[place] - plain[place] for place in sorted(plain.keys() & other.keys())])


def between_seeds(dice: dict[tuple[int, int], float]) -> float:
    """Standard deviation of trainings of one fold, pooled over the folds with at least two seeds; NaN without one."""
    groups = [[value for (fold, _), value in dice.items() if fold == each] for each in {fold for fold, _ in dice}]
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        return float("nan")
    squares = sum(float(np.var(group)) * len(group) for group in groups)
    return float(np.sqrt(squares / sum(len(group) - 1 for group in groups)))


def _dice(results: Sequence[Result], labels: str, arm: str) -> dict[tuple[int, int], float]:
    """(fold, seed) → mean Dice over the held-out cases, in points."""
    return {
        (each["run"]["fold"], each["run"]["seed"]): 100 * float(case_values([each], "dice").mean())
        for each in results
        if each["run"]["labels"] == labels and each["run"]["arm"] == arm
    }


def _row(labels: str, arm: str, plain: dict[tuple[int, int], float], other: dict[tuple[int, int], float]) -> list[str]:
    differences = paired(plain, other)
    both = sorted(plain.keys() & other.keys())
    interval = ""
    if len(differences) > 1:
        low, high = stats.ttest_1samp(differences, 0).confidence_interval()
        interval = f" ({low:+.2f} to {high:+.2f})"
    return [
        labels,
        arm,
        str(len(differences)),
        *(f"{np.mean([each[place] for place in both]):.2f}" for each in (plain, other)),
        f"{differences.mean():+.2f}{interval}",
        f"{differences.min():+.2f} to {differences.max():+.2f}",
        *(f"{between_seeds(each):.2f}" for each in (plain, other)),
    ]
