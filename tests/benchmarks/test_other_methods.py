"""The comparisons of the methods: their tables; and what is counted of their cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import method_cost, method_iterations
from benchmarks.cases import Case
from benchmarks.method_cost import measure, methods_table
from benchmarks.method_iterations import PASSES
from benchmarks.other_methods import Run, cost_of, results_table
from benchmarks.pages import other_numbers
from benchmarks.synthetic_training import first_sample, synthetic_folders
from nnunetv2_dale.trainer.with_unlabelled import NUMBERS
from tests.benchmarks.tables import cells

SMALL_DK_UXNET = {
    **{"width": 8, "stages": 3, "blocks": 1, "query_count": 16, "query_channels": 32},
    **{"attention_heads": 4, "feed_forward_channels": 128},
}


def row(method: str, equal: str, seed: int, dice: list[float], seconds: float = 10.0) -> dict[str, Any]:
    return {"run": {"method": method, "equal": equal, "seed": seed}, "dice": dice, "seconds": seconds, "iterations": 5}


def test_the_cost_is_the_ratio_of_the_mean_iterations_of_the_same_seed() -> None:
    rows = [row("plain", "epochs", 0, [0.5], 10), row("BECO", "epochs", 0, [0.5], 21), row("BECO", "time", 0, [0.5], 9)]
    assert cost_of(Run("BECO", "time", 0), rows) == pytest.approx(2.1)
    assert cost_of(Run("BECO", "time", 1), rows) is None
    assert cost_of(Run("BECO", "time", 0, iterations=2000), rows) is None


def test_a_table_is_of_one_length() -> None:
    longer = row("plain", "epochs", 0, [0.9])
    longer["run"]["iterations"] = 2000
    rows = [row("plain", "epochs", 0, [0.5]), longer]
    assert "50.00" in results_table(rows)
    assert "90.00" not in results_table(rows)
    assert "90.00" in results_table(rows, iterations=2000)


def test_a_row_is_beside_plain_of_the_same_seed_and_what_is_missing_is_a_dash() -> None:
    rows = [
        row("plain", "epochs", 0, [0.8, 0.7]),
        row("GCE", "epochs", 0, [0.9, 0.7], seconds=12.5),
        row("plain", "epochs", 1, [0.6, 0.6]),
        row("GCE", "epochs", 1, [0.5, 0.5]),
        row("ADS", "time", 0, [0.75, 0.75]),
    ]
    lines = {line.split("|")[1].strip(): line for line in results_table(rows).splitlines()[2:]}
    assert list(lines) == ["plain", "GCE", "ADS"]
    assert "80.00, 50.00" in lines["GCE"]
    assert "+5.00, -10.00" in lines["GCE"]
    assert lines["GCE"].split("|")[2].strip() == "1.12"  # of the seeds' 1.25 and 1
    assert [cell.strip() for cell in lines["ADS"].split("|")[2:-1]] == ["-", "-", "-", "75.00", "+0.00"]


def test_few_labels_of_two_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"arm": "plain", "labelled": 8, "budget": 100, "equal": "epochs"}
    rows = [{"run": {**run, "seed": seed}, "iterations": 100, "dice": dice} for seed, dice in ((0, 0.5), (1, 0.75))]
    (tmp_path / other_numbers.FEW_LABELS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(other_numbers, "RESULTS", tmp_path)
    assert cells(other_numbers.few_labels_table())[-1] == ["8", "plain", "epochs", "100", "50.00, 75.00", "62.50"]


def test_every_method_is_measured_beside_its_passes() -> None:
    """On a network so small that its times mean nothing."""
    with synthetic_folders():
        found = measure(Case("2d small", (32, 32), 2, features=4, stages=3), torch.device("cpu"), 1, with_memory=False)
    assert set(found["variants"]) == set(PASSES)
    assert all(each["ratio_median"] > 0 for each in found["variants"].values())
    table = methods_table(found["variants"])
    assert "5.67" in next(line for line in table.splitlines() if "svl_drl" in line)


def test_in_3d_dk_uxnet_is_measured_beside_its_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_cost, "PASSES", {"plain": 1.0})
    monkeypatch.setitem(method_iterations.SETTINGS, "dk_uxnet", SMALL_DK_UXNET)
    case = Case("3d small", (16, 16, 16), 2, features=4, stages=3)
    with synthetic_folders():
        found = measure(case, torch.device("cpu"), 1, with_memory=False)["variants"]
        # with the one sample that the measurement of memory begins with: the whole batch counts all the same
        numbers = method_iterations.iteration("dk_uxnet", case, torch.device("cpu"))(
            first_sample(case, torch.device("cpu"))
        )
    assert list(found) == ["plain", "dk_uxnet_network", "dk_uxnet"]
    assert found["dk_uxnet"]["ratio_median"] == pytest.approx(
        found["dk_uxnet"]["seconds_median"] / found["dk_uxnet_network"]["seconds_median"]
    )
    assert numbers["dk_uxnet"][NUMBERS.index("labelled")] == 0.5  # the second of two samples has no labels
