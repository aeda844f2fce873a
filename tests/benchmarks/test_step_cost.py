"""What step_cost.py keeps on disk, and how it names the calls that wait for a GPU; nothing is timed here."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from traceback import FrameSummary
from typing import Any

import pytest
import torch

from benchmarks.cases import Case
from benchmarks.results_file import ResultsFile
from benchmarks.step_cost import measure
from benchmarks.synchronisations import places, synchronisations
from benchmarks.synthetic_training import synthetic_folders
from benchmarks.timing import interleaved, ratios
from benchmarks.variants import VARIANTS
from nnunetv2_dale.commands.command_line import UserError

CASES = tuple(Case(f"2d case {number}", (32, 32), number) for number in (1, 2, 3))
HEADER: dict[str, Any] = {"command": "python", "machine": {"cores": 2, "load_average_at_start": 1.0}, "compile": False}
LIKE = {"repetitions": 3}


class Measure:
    """Stands in for the measurement: notes what is measured, and is interrupted at a case."""

    def __init__(self, interrupted_at: int | None = None) -> None:
        self.seen: list[int] = []
        self.interrupted_at = interrupted_at

    def __call__(self, case: Case) -> dict[str, Any]:
        if case.batch == self.interrupted_at:
            raise KeyboardInterrupt
        self.seen.append(case.batch)
        return {"case": case.describe(), "variants": {"plain": case.batch}}


def _batches(path: Path) -> list[int]:
    return [row["case"]["batch"] for row in json.loads(path.read_text())["cases"]]


def test_an_interrupted_run_keeps_its_rows_and_goes_on_with_the_others(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    with pytest.raises(KeyboardInterrupt):
        list(ResultsFile(path, HEADER).measured(CASES, Measure(interrupted_at=3), LIKE))
    assert _batches(path) == [1, 2]
    later = HEADER | {"machine": {"cores": 2, "load_average_at_start": 7.5}, "command": "python --resume"}
    measure = Measure()
    rows = list(ResultsFile(path, later, resume=True).measured(CASES, measure, LIKE))
    assert measure.seen == [3]
    assert [row["case"]["batch"] for row in rows] == _batches(path) == [1, 2, 3]
    assert json.loads(path.read_text())["variants"] == {"plain": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["cost.json"]


def test_rows_of_other_settings_are_measured_again_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    list(ResultsFile(path, HEADER).measured(CASES, Measure(), LIKE))
    measure = Measure()
    list(ResultsFile(path, HEADER, resume=True).measured(CASES[:2], measure, {"repetitions": 11}))
    assert measure.seen == [1, 2]
    rows = json.loads(path.read_text())["cases"]
    assert [(row["case"]["batch"], row["repetitions"]) for row in rows] == [(1, 11), (2, 11), (3, 3)]


def test_some_of_the_cases_measured_again_do_not_move_to_the_top(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    list(ResultsFile(path, HEADER).measured(CASES[:2], Measure(), LIKE))
    list(ResultsFile(path, HEADER, resume=True).measured(CASES[1:], Measure(), {"repetitions": 11}))
    rows = json.loads(path.read_text())["cases"]
    assert [(row["case"]["batch"], row["repetitions"]) for row in rows] == [(1, 3), (2, 11), (3, 11)]
    assert json.loads(path.read_text())["variants"] == {"plain": 1}


def test_a_file_that_cannot_be_gone_on_with_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    list(ResultsFile(path, HEADER).measured(CASES[:1], Measure(), LIKE))
    with pytest.raises(UserError, match="already exists"):
        ResultsFile(path, HEADER)
    with pytest.raises(UserError, match="measured with machine"):
        ResultsFile(path, HEADER | {"machine": {"cores": 64}}, resume=True)
    with pytest.raises(UserError, match="measured with compile"):
        ResultsFile(path, HEADER | {"compile": True}, resume=True)
    with pytest.raises(UserError, match="--json FILE"):
        ResultsFile(None, HEADER, resume=True)
    path.write_text("[1]")
    with pytest.raises(UserError, match="no result of this benchmark"):
        ResultsFile(path, HEADER, resume=True)


def _waiting_call() -> None:
    warnings.warn("called a synchronizing CUDA operation (Triggered internally at ...)", stacklevel=1)


def test_waits_are_counted_by_place_and_other_warnings_are_not() -> None:
    modes: list[str] = []

    def run() -> None:
        assert modes == ["warn"]
        for _ in range(3):
            _waiting_call()
        warnings.warn("something else", stacklevel=1)
        _waiting_call()

    found = synchronisations(run, torch.device("cuda"), modes.append)
    assert modes == ["warn", "default"]
    assert found is not None
    assert [wait["times"] for wait in found] == [4]
    assert "test_step_cost.py" in found[0]["call"]
    assert "warnings.warn" in found[0]["call"]


def test_the_warnings_are_switched_off_after_an_error() -> None:
    modes: list[str] = []
    with pytest.raises(ZeroDivisionError):
        synchronisations(lambda: 1 / 0, torch.device("cuda"), modes.append)
    assert modes == ["warn", "default"]


def test_there_is_nothing_to_wait_for_on_the_cpu() -> None:
    assert synchronisations(_waiting_call, torch.device("cpu")) is None


def test_a_place_is_the_line_in_pytorch_and_the_line_it_was_reached_from() -> None:
    site = "/home/somebody/lib/python3.11/site-packages"
    stack = [
        FrameSummary("/home/somebody/benchmarks/step_cost.py", 9, "measure", line="run()"),
        FrameSummary(f"{site}/nnunetv2_dale/trainer/dale.py", 150, "_update", line="self.grad_scaler.step(optimizer)"),
        FrameSummary(f"{site}/torch/amp/grad_scaler.py", 350, "_maybe_opt_step", line="if not sum(v.item())"),
        FrameSummary("/usr/lib/python3.11/warnings.py", 109, "_showwarnmsg", line="sw(msg)"),
    ]
    assert places(stack) == (
        "torch/amp/grad_scaler.py:350: if not sum(v.item())",
        "nnunetv2_dale/trainer/dale.py:150: self.grad_scaler.step(optimizer)",
    )
    assert places(stack[:1]) == ("benchmarks/step_cost.py:9: run()",) * 2


class Calls:
    """Runs that note the order they are called in; nothing is timed that matters."""

    def __init__(self, *names: str) -> None:
        self.order: list[str] = []
        self.runs = {name: lambda name=name: self.order.append(name) for name in names}


def test_the_reference_runs_before_every_other_and_no_variant_is_always_the_first() -> None:
    calls = Calls("plain", "a", "b")
    seconds = interleaved(calls.runs, 2, torch.device("cpu"))
    assert calls.order == ["plain", "a", "b", "plain", "a", "plain", "b", "plain", "b", "plain", "a"]
    assert {name: [len(runs) for runs in each] for name, each in seconds.items()} == {
        "plain": [2, 2],
        "a": [1, 1],
        "b": [1, 1],
    }


def test_a_slow_variant_can_run_once_and_the_reference_alone() -> None:
    calls = Calls("plain", "slow")
    seconds = interleaved(calls.runs, 3, torch.device("cpu"), once=["slow"])
    assert calls.order == ["plain", "slow", "plain", "slow"]
    assert ratios(seconds["slow"], seconds["plain"])["ratio_min"] > 0
    assert [len(runs) for runs in interleaved(Calls("plain").runs, 2, torch.device("cpu"))["plain"]] == [1, 1]


def test_a_ratio_is_to_the_median_of_the_reference_in_the_same_repetition() -> None:
    plain = [[1.0, 2.0, 30.0], [4.0, 4.0, 4.0]]
    found = ratios([[6.0], [4.0]], plain)
    assert (found["ratio_median"], found["ratio_min"], found["ratio_max"]) == (2.0, 1.0, 3.0)
    assert found["seconds_median"] == 5.0
    assert ratios(plain, plain)["ratio_median"] == 1.0


def test_every_variant_and_every_pass_of_an_iteration_is_measured() -> None:
    """On a network so small that its times mean nothing."""
    case = Case("2d small", (32, 32), 2, features=4, stages=3)
    with synthetic_folders():
        found = measure(case, torch.device("cpu"), 2, VARIANTS, with_memory=False, once=["double_backward"])
    assert set(found["variants"]) == set(VARIANTS)
    assert all(row["ratio_min"] > 0 and row["page_faults_median"] >= 0 for row in found["variants"].values())
    assert [len(runs) for runs in found["variants"]["plain"]["seconds"]] == [len(VARIANTS) - 1, len(VARIANTS) - 2]
    parts = {name.removeprefix("  of it, "): row["seconds_median"] for name, row in found["parts"].items()}
    passes = ("forward, non-fuzzy", "forward, fuzzy", "forward, look-ahead", "forward, shifted weights")
    passes += ("backward, non-fuzzy", "backward, pseudo-step", "backward, look-ahead", "backward, fuzzy")
    assert set(passes) < set(parts)
    assert all(seconds > 0 for seconds in parts.values())
    of_omega = sum(row["seconds_median"] for name, row in found["parts"].items() if name.startswith("  of it"))
    assert of_omega < parts["omega, look-ahead"]
    json.dumps(found)
