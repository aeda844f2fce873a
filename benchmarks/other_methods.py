"""The stored comparison of all methods on the left atrium: its table.

Half of the training labels were dilated, eroded or displaced. The driver that made the rows, with batches of its own
and trainings of equal time, is in the repository's history. `benchmarks/organs/other_methods.toml` compares the same
methods on the same data with the commands that users have.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.table import markdown

RESULTS = Path(__file__).resolve().parent / "results" / "other_methods.jsonl"
ITERATIONS = 500  # of plain nnU-Net, where nothing else is asked for
METHODS = ("plain", "DALE", "CaseTrust", "SVL-DRL", "GCE", "ADS", "MWNet", "BECO")
SEEDS = (0, 1)
_DICE, _ABOVE = "Dice of each seed", "above plain"
COLUMNS = ["method", "time / plain", f"equal epochs: {_DICE}", _ABOVE, f"equal time: {_DICE}", f"equal time: {_ABOVE}"]


@dataclass(frozen=True)
class Run:
    """One training."""

    method: str
    equal: str  # "epochs": as many batches as plain nnU-Net; "time": as many as fit into its processor time
    seed: int
    iterations: int = ITERATIONS  # of plain nnU-Net


def cost_of(run: Run, rows: Sequence[dict[str, Any]]) -> float | None:
    """Processor time of a method's mean iteration over plain nnU-Net's, from the trainings of equal epochs.

    None where one of the two is not stored yet.
    """
    each = {Run(**row["run"]): row["seconds"] / row["iterations"] for row in rows}
    own, plain = (replace(run, method=method, equal="epochs") for method in (run.method, "plain"))
    return each[own] / each[plain] if {own, plain} <= each.keys() else None


def results_table(rows: Sequence[dict[str, Any]], iterations: int = ITERATIONS) -> str:
    """Cost, mean Dice over the cases for every seed, and the difference to plain nnU-Net's of the same seed.

    Methods without a training of this length are left out.
    """
    dice = {Run(**row["run"]): row["dice"] for row in rows}
    lines = []
    for method in METHODS:
        if not any((each.method, each.iterations) == (method, iterations) for each in dice):
            continue
        costs = [cost for seed in SEEDS if (cost := cost_of(Run(method, "epochs", seed, iterations), rows)) is not None]
        line = [method, f"{statistics.mean(costs):.2f}" if costs else "-"]
        for equal in ("epochs", "time"):
            found, differences = [], []
            for seed in SEEDS:
                cases = dice.get(Run(method, "epochs" if method == "plain" else equal, seed, iterations))
                plain = dice.get(Run("plain", "epochs", seed, iterations))
                if cases is not None and plain is not None:
                    found.append(100 * statistics.mean(cases))
                    differences.append(found[-1] - 100 * statistics.mean(plain))
            line += [
                ", ".join(f"{value:.2f}" for value in found) or "-",
                ", ".join(f"{value:+.2f}" for value in differences) or "-",
            ]
        lines.append(line)
    return markdown(COLUMNS, lines)
