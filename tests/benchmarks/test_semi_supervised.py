"""The benchmark of few labels: what it runs, that it goes on where it stopped, and its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import semi_supervised
from benchmarks.semi_supervised import ARMS, Run, cost_of, runs, stored, table


def test_the_arms_of_every_seed_the_first_seed_first() -> None:
    listed = runs(budget=100, seeds=2)
    assert len({run.key for run in listed}) == len(listed) == 18
    assert [run.seed for run in listed] == [0] * 9 + [1] * 9
    compared = {(arm, labelled) for arm in ("plain", "dk_uxnet") for labelled in (8, 16)}
    assert {(run.arm, run.labelled) for run in listed} == compared | {("plain", 64), ("dk_uxnet_labels_only", 8)}
    assert {run.arm for run in listed if run.equal == "time"} == {"plain"}  # the time of DK-UXNet is its epochs


def test_the_same_network_without_agreement_differs_in_nothing_else() -> None:
    with_it, without = ARMS["dk_uxnet"], ARMS["dk_uxnet_labels_only"]
    assert (with_it[0], with_it[2]) == (without[0], without[2])
    assert with_it[1] == {}
    assert set(without[1].values()) == {0.0}
    assert all(name.startswith("agreement_") for name in without[1])


def test_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Run] = []

    def train(run: Run, workspace: Path, cost: float) -> dict[str, Any]:
        trained.append(run)
        if len(trained) == 3:
            raise KeyboardInterrupt
        assert cost == (3.0 if run.equal == "time" else 1.0)
        seconds = 10.0 if run.arm == "plain" else 30.0
        return {"run": vars(run), "iterations": 10, "seconds": seconds, "dice": 0.5}

    monkeypatch.setattr(semi_supervised, "train", train)
    for name in ("raw", "preprocessed", "results", "compile", "n_proc_DA", "def_n_proc"):
        monkeypatch.setenv(f"nnUNet_{name}", "")  # so that what the command sets ends with this test
    results = tmp_path / "results.jsonl"
    command = ["semi_supervised.py", "run", "--workspace", str(tmp_path), "--budget", "10", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--results", str(results)])
    with pytest.raises(KeyboardInterrupt):
        semi_supervised.main()
    assert len(stored(results)) == 2
    semi_supervised.main()
    assert len(stored(results)) == 9
    assert len(trained) == 10  # the interrupted one twice, the others once
    assert "machine" in json.loads(results.read_text().splitlines()[0])


def test_equal_time_is_that_of_the_same_seed_and_waits_for_it() -> None:
    def row(run: Run, iterations: int, seconds: float) -> dict[str, Any]:
        return {"run": vars(run), "iterations": iterations, "seconds": seconds}

    timed = Run("plain", 8, 500, "time", 1)
    plain = row(Run("plain", 8, 500, "epochs", 1), 500, 50.0)
    other_seed = row(Run("dk_uxnet", 16, 500, "epochs", 0), 500, 4000.0)
    assert cost_of(timed, [plain, other_seed]) is None
    assert cost_of(timed, [plain, other_seed, row(Run("dk_uxnet", 16, 500, "epochs", 1), 250, 250.0)]) == 10.0


def test_table_of_two_seeds(tmp_path: Path) -> None:
    rows = [
        {"run": vars(Run("plain", 8, 100, "epochs", seed)), "iterations": 100, "dice": dice}
        for seed, dice in ((0, 0.5), (1, 0.75))
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cells = [cell.strip() for cell in table(file).splitlines()[-1].split("|")[1:-1]]
    assert cells == ["8", "plain", "epochs", "100", "50.00, 75.00", "62.50"]
    assert len(table(tmp_path / "none.jsonl").splitlines()) == 2
