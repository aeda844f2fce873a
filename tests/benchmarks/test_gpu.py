"""`make gpu`: its steps fit their time, keep what they measured, and without a GPU nothing is started."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu


def test_without_a_gpu_it_says_so_and_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["-o", str(tmp_path / "results")]) == 2
    assert "needs a GPU that PyTorch sees" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_all_steps_end_within_nine_minutes() -> None:
    assert sum(limit for _, _, limit in gpu.steps(Path("work"), Path("results"))) < 540


def test_a_step_that_takes_too_long_or_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = {"runs": [{"trainer": "A", "costs": [], "values": {"Dice": {"mean": [0.5, None, 0.7]}}}]}

    def steps(work: Path, results: Path) -> list[Any]:
        code = f"from pathlib import Path; f = Path({str(work)!r}, 'reports', '3d'); f.mkdir(parents=True); "
        code += f"(f / 'report.json').write_text({json.dumps(report)!r}); print('trained')"
        slow = "import time; print('begun', flush=True); time.sleep(60)"
        return [
            ("slow", [sys.executable, "-c", slow], 2),
            ("fails", [sys.executable, "-c", "raise SystemExit(3)"], 30),
            ("trains", [sys.executable, "-c", code], 30),
        ]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "steps", steps)
    monkeypatch.setattr(gpu, "describe", lambda device, threads: {"gpu": device.type})
    assert gpu.main(["-o", str(tmp_path)]) == 1
    stored = json.loads((tmp_path / "summary.json").read_text())
    assert [row["ended"] for row in stored["steps"]] == ["at its limit", "with 3", "well"]
    assert stored["steps"][2]["last_lines"] == ["trained"]
    assert stored["trainings"] == [{"trainer": "A", "costs": [], "mean_dice": 0.6}]
