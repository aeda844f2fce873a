"""Repeated trainings: plans of their own name, a seed each, and a report on the trainers."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter

from nnunetv2_dale.benchmark.inputs import Folders, write_repeated_plans
from nnunetv2_dale.benchmark.reports import compared_runs, report_arguments
from nnunetv2_dale.benchmark.runs import Run, plan_runs, repeated_plans
from nnunetv2_dale.benchmark.training import seed_everything
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.report.report_folder import read_report
from tests.benchmark.fixtures import DATASET
from tests.datasets import write_ellipsoids, write_results


def planned(repeats: int, trainers: tuple[str, ...] = ("A", "B")) -> list[Run]:
    return plan_runs(DATASET, trainers, repeated_plans(["P"], repeats), ["2d"], ["0", "1"], {}, ["0", "1"])


def test_every_training_has_plans_of_its_own_and_all_first_trainings_come_first(tmp_path: Path) -> None:
    assert repeated_plans(["P", "Q"], 1) == ["P", "Q"]
    assert [(run.repeat, run.trainer, run.fold) for run in planned(2)] == [
        (repeat, trainer, fold) for repeat in (1, 2) for trainer in "AB" for fold in "01"
    ]
    assert planned(1)[0].repeat is None
    folders = Folders(DATASET, tmp_path, tmp_path / "results")
    (tmp_path / DATASET).mkdir()
    plans = {"plans_name": "P", "configurations": {"2d": {"data_identifier": "P_2d"}}}
    (tmp_path / DATASET / "P.json").write_text(json.dumps(plans))
    write_repeated_plans(folders, ["P"], 1)
    assert [file.name for file in (tmp_path / DATASET).iterdir()] == ["P.json"]
    write_repeated_plans(folders, ["P"], 2)
    write_repeated_plans(folders, ["P"], 3)  # more of the same
    assert json.loads((tmp_path / DATASET / "P_repeat3.json").read_text()) == {**plans, "plans_name": "P_repeat3"}
    (tmp_path / DATASET / "P_repeat2.json").write_text(json.dumps({**plans, "plans_name": "P_repeat2", "x": 1}))
    with pytest.raises(UserError, match=r"P_repeat2\.json differs from P\.json in more than its name"):
        write_repeated_plans(folders, ["P"], 2)


class _Loader:
    """Draws a number where nnU-Net's loader draws cases."""

    def set_thread_id(self, number: int) -> None:
        self.number = number

    def __next__(self) -> dict[str, Any]:
        return {"drawn": float(np.random.rand()), "augmented": float(torch.rand(1))}


def test_a_seed_fixes_first_weights_and_what_each_loader_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(seed: int) -> list[float]:
        monkeypatch.undo()
        monkeypatch.setattr(NonDetMultiThreadedAugmenter, "__init__", NonDetMultiThreadedAugmenter.__init__)
        seed_everything(seed)
        weights = [random.random(), float(np.random.rand()), float(torch.rand(1))]
        loader = NonDetMultiThreadedAugmenter(_Loader(), None, 1, num_cached=1, wait_time=0.002)
        item = next(loader)
        other = NonDetMultiThreadedAugmenter(_Loader(), None, 2)
        loader._finish()
        return [*weights, *item.values(), *other.seeds]

    first, again, different = of(1), of(1), of(2)
    assert first == again
    assert len({*first, *different}) == 14


def test_the_report_of_repeated_trainings_is_on_the_trainers(tmp_path: Path) -> None:
    from nnunetv2_dale.report.cli import main as report

    raw, results = write_ellipsoids(tmp_path / "raw", 4, DATASET), tmp_path / "results"
    for number, run in enumerate(planned(2, ("A", "B", "C"))):
        if run.fold == "0" and (run.trainer, run.repeat) != ("C", 2):
            shifts = {f"case_{case:02d}": (number + case) % 3 for case in range(4)}
            write_results(run.folder(results).parent, raw, shifts)
    reports = {name: runs for runs, name in compared_runs(planned(2, ("A", "B", "C")), "2d")}
    assert list(reports) == ["2d_B__P", "2d_C__P"]
    assert report_arguments(reports["2d_C__P"], "2d_C__P", results, tmp_path / "reports") is None  # one training of C
    for _ in range(2):  # the second replaces the first
        arguments = report_arguments(reports["2d_B__P"], "2d_B__P", results, tmp_path / "reports")
        assert arguments is not None
        assert report([*arguments, "--summary_only", "--resamples", "99"]) == 0
    made = read_report(tmp_path / "reports" / "2d_B__P" / "report.json")
    assert (made.baseline, [run.name for run in made.runs]) == ("A__P__2d", ["A__P__2d", "B__P__2d"])
    assert made.runs[1].trainings == ["B__P_repeat1__2d", "B__P_repeat2__2d"]
    assert [run.seed for run in made.runs] == ["1, 2", "1, 2"]
    assert all(row.of_trainers for row in made.comparisons)
    assert [name for _, name in compared_runs(planned(1), "2d")] == ["2d"]


def test_a_class_that_no_case_has_is_a_row_of_dashes(tmp_path: Path) -> None:
    from nnunetv2_dale.report.cli import main as report

    raw, sides = write_ellipsoids(tmp_path / "raw", 4, DATASET), []
    for number, run in enumerate(each for each in planned(2) if each.fold == "0"):
        folder = run.folder(tmp_path / "results").parent
        write_results(folder, raw, {f"case_{case:02d}": (number + case) % 3 for case in range(4)})
        for file in folder.glob("fold_*/validation/summary.json"):
            summary = json.loads(file.read_text())
            for case in summary["metric_per_case"]:
                counts = case["metrics"]["2"]
                voxels = sum(counts[name] for name in ("TP", "FP", "FN", "TN"))
                counts |= {"Dice": math.nan, "IoU": math.nan, "n_pred": 0, "n_ref": 0}
                counts |= {"TP": 0, "FP": 0, "FN": 0, "TN": voxels}
            file.write_text(json.dumps(summary))
        sides.append(str(folder))
    made = tmp_path / "report"
    arguments = [sides[1], sides[3], "--against", sides[0], sides[2], "-o", str(made), "--summary_only"]
    assert report([*arguments, "--resamples", "99"]) == 0
    rows = read_report(made / "report.json").comparisons
    (row,) = (row for row in rows if (row.metric, row.class_key) == ("Dice", "2"))
    assert (row.n, row.difference, row.ci95, row.of_trainers) == (0, None, None, True)
    assert "$p$ (trials)" in (made / "comparisons.tex").read_text()
