"""The study's tables by hand, and what is stored of its trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy import study_chance as chance
from benchmarks.accuracy import study_tables as tables
from tests.benchmarks.tables import cells
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "benchmarks/results/accuracy"


def result(arm: str, fold: int, cases: dict[str, dict[str, dict[str, Any]]], labels: str = "biased") -> dict[str, Any]:
    run = {"data": "d", "labels": labels, "configuration": "2d", "fold": fold, "arm": arm, "budget": 20, "seed": 0}
    return {"run": run, "cost": 1.0, "iterations": 20, "cases": cases, "confidence": []}


def judged(dice: float | None, voxels: int = 10) -> dict[str, Any]:
    return {"voxels": voxels, "dice": dice, "hd95": 2.0, "dice_fuzzy": dice, "hd95_fuzzy": None}


def test_results_of_arms_that_are_gone_are_not_read_and_the_old_default_has_its_trainers_name(tmp_path: Path):
    arms = ("plain", "default", "whole batch, likelihood", "views in turns, neither")
    (tmp_path / "screen.jsonl").write_text("\n".join(json.dumps(result(arm, 0, {})) for arm in arms))
    assert [each["run"]["arm"] for each in tables.read(tmp_path, "screen")] == ["plain", "CaseTrust"]


def test_a_training_of_equal_time_is_an_arm_of_its_own(tmp_path: Path):
    runs = [result("plain", 2, {"a": {"1": judged(0.5)}}), result("DALE", 2, {"a": {"1": judged(0.7)}})]
    runs += [{**result("DALE", 2, {"a": {"1": judged(0.6)}}), "cost": None}]
    for run, equal in zip(runs, ("batches", "batches", "time"), strict=True):
        run["run"]["equal"] = equal
    (tmp_path / "dale.jsonl").write_text("\n".join(map(json.dumps, runs)))
    rows = cells(tables.comparison(tables.read(tmp_path, "dale")))
    assert [(row[1], row[2], row[5]) for row in rows] == [
        ("plain", "1.00", "50.00"),
        ("DALE", "1.00", "70.00"),
        ("DALE, equal time", "–", "60.00"),
    ]


def test_every_stored_training_says_how_it_was_made():
    files = sorted(RESULTS.glob("*.jsonl"))
    assert files
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            stored = json.loads(line)
            assert stored["command"].endswith(f"run {file.stem}")
            assert {"torch", "nnunetv2", "python", "processor"} <= set(stored["machine"])
            assert {"seed", "fold", "arm", "labels"} <= set(stored["run"])


def test_nothing_was_chosen_on_the_folds_that_are_reported():
    for table in ("screen", "choose"):
        assert {each["run"]["fold"] for each in tables.read(RESULTS, table)} <= {0, 1}
    assert {each["run"]["fold"] for each in tables.read(RESULTS, "confirm")} <= {2, 3, 4}


def test_a_stored_mean_by_hand():
    stored = tables.read(RESULTS, "screen")[0]
    cases = [
        np.mean([c["dice"] for c in classes.values() if c["dice"] is not None]) for classes in stored["cases"].values()
    ]
    assert stored["curve"][-1]["dice"] == pytest.approx(np.mean(cases), abs=1e-4)


def test_the_difference_is_paired_by_case_over_shared_folds():
    plain = [
        result("plain", 2, {"a": {"1": judged(0.5)}, "b": {"1": judged(0.7)}}),
        result("plain", 3, {"c": {"1": judged(0.1)}}),
    ]
    arm = [result("x", 2, {"a": {"1": judged(0.6)}, "b": {"1": judged(0.6), "2": judged(None)}})]
    assert tables.paired_dice(plain, arm) == {"a": (0.5, 0.6), "b": (0.7, 0.6)}
    assert tables.difference(plain, arm).startswith("+0.00")


def test_the_smallest_third_is_taken_class_by_class():
    objects = {f"c{n}": {"1": judged(n / 10, voxels=n), "2": judged(1 - n / 10, voxels=100 - n)} for n in range(1, 7)}
    (row,) = cells(tables.comparison([result("plain", 2, objects)]))
    assert row[-1] == f"{100 * np.mean([0.1, 0.2, 0.5, 0.4]):.2f}"


def test_progress_is_the_mean_over_folds_at_each_point_in_time():
    runs = []
    for fold, values in ((2, (0.1, 0.2, 0.3, 0.4)), (3, (0.3, 0.4, 0.5, 0.8))):
        curve = [{"iterations": 5, "seconds": 1.0, "dice": value} for value in values]
        runs.append({**result("plain", fold, {}), "curve": curve})
    assert cells(tables.progress(runs)) == [["biased", "plain", "2", "20.0", "30.0", "40.0", "60.0"]]


def test_trainings_are_paired_by_fold_and_seed_and_spread_within_a_fold():
    plain = {(2, 0): 80.0, (2, 1): 82.0, (3, 0): 70.0, (3, 1): 76.0, (4, 0): 60.0}
    other = {(2, 0): 81.0, (3, 1): 75.0, (4, 1): 99.0}
    assert chance.paired(plain, other).tolist() == [1.0, -1.0]
    # deviations from the folds' means: 1, 1, 3, 3; one degree of freedom for each of the two folds with two seeds
    assert chance.between_seeds(plain) == pytest.approx(np.sqrt((1 + 1 + 9 + 9) / 2))
    assert np.isnan(chance.between_seeds({(4, 0): 60.0}))


def test_the_interval_over_trainings_is_students(tmp_path: Path):
    for table, seed, gains in (("confirm", 0, (1.0, 2.0, 3.0)), ("seeds", 1, (2.0, 2.0, 5.0))):
        lines = []
        for fold, gain in zip((2, 3, 4), gains, strict=True):
            for arm, dice in (("plain", 0.5), ("default", 0.5 + gain / 100)):
                stored = result(arm, fold, {"a": {"1": judged(dice)}})
                stored["run"] |= {"data": "hippocampus", "budget": 4000, "seed": seed}
                lines.append(json.dumps(stored))
        (tmp_path / f"{table}.jsonl").write_text("\n".join(lines))
    (row,) = cells(chance.seeds_table(tmp_path, "seeds"))
    all_gains = np.array([1.0, 2.0, 3.0, 2.0, 2.0, 5.0])
    half = 2.5706 * all_gains.std(ddof=1) / np.sqrt(6)  # Student's t with 5 degrees of freedom
    mean = all_gains.mean()
    interval = f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"
    expected = ["biased", "CaseTrust", "6", "50.00", f"{50 + mean:.2f}", interval, "+1.00 to +5.00"]
    assert row[:7] == expected


def test_one_seed_has_no_spread(tmp_path: Path):
    runs = [result("plain", 2, {"a": {"1": judged(0.5)}}), result("DALE", 2, {"a": {"1": judged(0.75)}})]
    (tmp_path / "dale.jsonl").write_text("\n".join(map(json.dumps, runs)))
    (row,) = cells(chance.seeds_table(tmp_path, "dale"))
    assert row == ["biased", "DALE", "1", "50.00", "75.00", "+25.00", "+25.00 to +25.00", "–", "–"]


def test_without_a_pair_of_trainings_there_is_no_table_of_seeds(tmp_path: Path):
    assert chance.seeds_table(tmp_path, "seeds") == ""
    stored = result("plain", 2, {"a": {"1": judged(0.5)}})
    stored["run"] |= {"data": "hippocampus", "budget": 4000, "seed": 1}
    (tmp_path / "seeds.jsonl").write_text(json.dumps(stored))
    assert chance.seeds_table(tmp_path, "seeds") == ""


def test_the_range_of_trainings_is_of_their_last_judgement():
    def ended(arm: str, configuration: str, dice: float) -> dict[str, Any]:
        found = result(arm, 0, {})
        found["run"]["configuration"] = configuration
        return {**found, "curve": [{"dice": 0.9}, {"dice": dice}]}

    trainings = (("DALE", "2d", 0.3), ("plain", "2d", 0.5), ("DALE", "2d", 0.6), ("DALE", "3d", 0.7))
    assert cells(tables.range_of_trainings([ended(*each) for each in trainings])) == [
        ["2d", "20", "DALE", "2", "30.0", "45.0", "60.0"],
        ["2d", "20", "plain", "1", "50.0", "50.0", "50.0"],
        ["3d", "20", "DALE", "1", "70.0", "70.0", "70.0"],
    ]
