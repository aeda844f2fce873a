"""SVL-DRL's trainings: their plans, their table and their figure, without training."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cases import TINY_2D, plans
from benchmarks.svl_drl_training import ARMS, Run, draw_curves, main, results_table, write_plans
from tests.benchmarks.tables import cells


def row(arm: str, seed: int, dice: list[float], log: dict[str, Any], seconds: int = 100) -> dict[str, Any]:
    return {
        "run": {"arm": arm, "seed": seed, "epochs": 5},
        "dice": dice,
        "processor_seconds": seconds,
        "log": {f"svl_drl_{name}": values for name, values in log.items()},
    }


def log(last_entropy: float) -> dict[str, list[float | None]]:
    names = ("keep_share", "enhance_share", "reward", "reward_gain", "reward_first_step")
    return {
        "policy_entropy": [None, math.log(3), last_entropy * math.log(3)],
        **{name: [None, -0.01, 0.02] for name in names},
    }


def test_an_arm_is_beside_plain_of_its_seed() -> None:
    rows = [
        row("plain", 0, [0.8, 0.6], {}),
        row("plain", 1, [0.5, 0.5], {}),
        row("SVL-DRL", 0, [0.9, 0.6], log(0.75), seconds=420),
        row("SVL-DRL", 1, [0.4, 0.4], log(0.5), seconds=380),
    ]
    lines = cells(results_table(rows))
    assert lines[0] == ["1250", "plain", "70.00, 50.00", "+0.00, +0.00", "-", "-", "1.0, 1.0"]
    moved = ["1.000 → 0.750, 1.000 → 0.500", "-0.010 → 0.020, -0.010 → 0.020"]
    assert lines[1] == ["1250", "SVL-DRL", "75.00, 40.00", "+5.00, -10.00", *moved, "4.2, 3.8"]


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_its_settings_in_the_plans(arm: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(plans(TINY_2D)))
    name = write_plans(Run(arm, 1, 5), tmp_path)
    written = json.loads((tmp_path / f"{name}.json").read_text())
    assert written["plans_name"] == name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert written["configurations"]["2d"]["svl_drl"] == ARMS[arm][1]


def test_the_figure_has_every_training_with_episodes(tmp_path: Path) -> None:
    draw_curves([row("plain", 0, [0.5], {}), row("SVL-DRL", 0, [0.5], log(0.5))], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_workspace_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "expected --workspace and --source, or --figure; give both" in capsys.readouterr().err
