"""Two small result folders with predictions shifted by known amounts, and logs of trainings of known length."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_dale.report.cli import main
from tests.datasets import ELLIPSOIDS, write_ellipsoids, write_results

FAST = ["-np", "1", "--resamples", "200"]


@dataclass(frozen=True)
class Study:
    """Two result folders of the same dataset, and where its references and images are."""

    raw: Path
    baseline: Path
    candidate: Path

    @property
    def folders(self) -> list[str]:
        """As the command takes them."""
        return [str(self.baseline), str(self.candidate)]


def training_log(epochs: int, seconds: float, first_dice: float = 0.3, start: str = "2025-01-01 00:00:00") -> str:
    """A training log as nnU-Net writes it: epochs of that many seconds, one second apart."""
    begin = np.datetime64(start.replace(" ", "T"), "us")
    lines = ["", "#######", "Please cite the following paper when using nnU-Net:", ""]
    for epoch in range(epochs):
        at = begin + np.timedelta64(int(epoch * (seconds + 1) * 1e6), "us")
        done = at + np.timedelta64(int(seconds * 1e6), "us")
        dice = first_dice + 0.6 * epoch / max(1, epochs - 1)
        stamp, end = (str(moment).replace("T", " ") for moment in (at, done))
        lines += [
            f"{stamp}: Epoch {epoch} ",
            f"{stamp}: Current learning rate: 0.01 ",
            f"{end}: train_loss -{dice:.4f} ",
            f"{end}: val_loss -{dice / 2:.4f} ",
            f"{end}: Pseudo dice [np.float32({dice:.4f}), np.float32(nan), np.float32({dice:.4f})] ",
            f"{end}: Epoch time: {seconds} s ",
        ]
    return "\n".join([*lines, ""])


def make_study(root: Path, cases: int = 8) -> Study:
    """A study in which the candidate is exact where the baseline is shifted, but for one case."""
    raw = write_ellipsoids(root / "raw", cases)
    names = [f"case_{case:02d}" for case in range(cases)]
    results = root / "results" / ELLIPSOIDS
    plans = {
        "dataset_name": ELLIPSOIDS,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "configurations": {"3d_fullres": {"patch_size": [16, 48, 48], "batch_size": 2, "spacing": [3.0, 1.0, 1.0]}},
    }
    with_dale = json.loads(json.dumps(plans))
    with_dale["configurations"]["3d_fullres"]["dale"] = {"alignment_weight": 0.0, "seed": 7}
    baseline, candidate = (
        results / f"{name}__nnUNetPlans__3d_fullres" for name in ("nnUNetTrainer", "nnUNetTrainerDALE")
    )
    write_results(baseline, raw, {name: 1 + n % 3 for n, name in enumerate(names)}, plans=plans)
    write_results(candidate, raw, {name: 4 if n == 3 else n % 2 for n, name in enumerate(names)}, plans=with_dale)
    for fold in range(2):
        (baseline / f"fold_{fold}" / "training_log_2025_1_1_00_00_00.txt").write_text(training_log(10, 20.0))
        (candidate / f"fold_{fold}" / "training_log_2025_1_1_00_00_00.txt").write_text(training_log(8, 44.0))
    return Study(raw, baseline, candidate)


def report_on(output: Path, *words: object, processes: int = 1) -> dict[str, Any]:
    """What the command writes with these words, as report.json has it."""
    assert main([*map(str, words), "-o", str(output), *FAST, "-np", str(processes)]) == 0
    return report_of(output)


def report_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return content


def row_of(report: dict[str, Any], metric: str, of_class: str = "mean") -> dict[str, Any]:
    rows = [row for row in report["comparisons"] if (row["metric"], row["class"]) == (metric, of_class)]
    assert len(rows) == 1
    return dict(rows[0])
