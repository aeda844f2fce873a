"""What trainings differ by on their own, and what is left of a gain beside it: several seeds per fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.accuracy.study_tables import Result, case_values, read
from benchmarks.table import markdown

SEEDED = {
    "seeds": ("The first study: several seeds", ("confirm", "readers", "seeds")),
    "dale": ("DALE and CaseTrust: several seeds", ("dale",)),
}
"""Tables with several seeds per fold: their title, and the tables that hold trainings of theirs."""


def all_seeds_tables(folder: Path) -> str:
    """Those there are results for, each with its title."""
    found = {title: seeds_table(folder, table) for table, (title, _) in SEEDED.items()}
    return "\n\n".join(f"### {title}\n\n{table}" for title, table in found.items() if table)


def seeds_table(folder: Path, table: str) -> str:
    """Per labels and arm: plain and the arm on the same batches from the same first weights.

    The trainings of `SEEDED` say which data, labels and budgets are shown. Empty without a training that has its plain
    one beside it.
    """
    asked = {_kind(each) for each in read(folder, table)}
    results = [each for part in SEEDED[table][1] for each in read(folder, part) if _kind(each) in asked]
    rows = []
    for labels, arm in dict.fromkeys((each["run"]["labels"], each["run"]["arm"]) for each in read(folder, table)):
        plain, other = _dice(results, labels, "plain"), _dice(results, labels, arm)
        if arm != "plain" and plain.keys() & other.keys():  # of a study that is being made, plain may be missing
            rows.append(_row(labels, arm, plain, other))
    header = ["labels", "arm", "folds × seeds", "Dice, plain", "Dice, arm", "difference (95 % interval over trainings)"]
    header += ["lowest to highest", "SD between seeds, plain", "SD between seeds, arm"]
    return markdown(header, rows, text=2) if rows else ""


def _kind(result: Result) -> tuple[str, ...]:
    return tuple(str(result["run"][part]) for part in ("data", "labels", "configuration", "budget"))


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
        *("–" if np.isnan(spread) else f"{spread:.2f}" for spread in map(between_seeds, (plain, other))),
    ]
