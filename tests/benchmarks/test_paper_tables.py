"""The tables of the paper's setting by hand, and what is stored of its trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.paper import paper_tables as tables
from tests.benchmarks.tables import cells
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "benchmarks/results/paper"


def result(arm: str, curve: list[tuple[float, float]], cost: float = 1.0, updates: int = 1) -> dict[str, Any]:
    """A training of (validation, test) per epoch, with 10 batches in an epoch of `10 · cost` seconds."""
    run = {"data": "polyps", "labels": "clean", "network": "U", "arm": arm, "epochs": len(curve), "seed": 1}
    points = []
    for number, (validation, test) in enumerate(curve, start=1):
        spent = {"epoch": number, "updates": 10 * updates * number, "seconds": 10 * cost * number}
        points.append({**spent, "validation": validation, "test": test})
    return {"run": run, "curve": points}


ORDINARY = result("ordinary", [(0.1, 0.1), (0.3, 0.2), (0.25, 0.9), (0.4, 0.35)])


def test_every_stored_training_says_how_it_was_made():
    files = sorted(RESULTS.glob("*.jsonl"))
    assert files
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            stored = json.loads(line)
            assert f"paper_study.py run {file.stem} --epochs" in stored["command"]
            assert {"torch", "nnunetv2", "monai", "nnunetv2-dale", "python", "processor"} <= set(stored["machine"])
            assert [point["epoch"] for point in stored["curve"]] == list(range(1, stored["run"]["epochs"] + 1))
            last = sum(stored["test_of_last_epoch"]) / len(stored["test_of_last_epoch"])
            assert stored["curve"][-1]["test"] == pytest.approx(last, abs=1e-4)


def test_the_epoch_is_chosen_by_the_validation_part_alone():
    assert tables.chosen(ORDINARY["curve"])["epoch"] == 4
    assert tables.chosen(ORDINARY["curve"][:3])["epoch"] == 2  # the test part would choose 3
    assert tables.chosen(result("x", [(0.5, 0.1), (0.5, 0.2)])["curve"])["epoch"] == 1


def test_an_arm_is_compared_with_ordinary_training_of_the_same_epochs_updates_and_time():
    arm = result("arm", [(0.2, 0.5), (0.1, 0.9)], cost=1.5, updates=2)  # 2 epochs, 40 updates, 30 seconds
    row = cells(tables.comparison([arm], [ORDINARY]))[0]
    # ordinary: epoch 2 of the first 2 → 0.2; of 40 updates all 4 → 0.35; of 30 seconds the first 3, epoch 2 → 0.2
    assert row == ["arm", "2", "40", "30", "1", "50.0", "+30.0", "+15.0", "+30.0"]


def test_there_is_no_comparison_with_ordinary_training_that_is_too_short():
    arm = result("arm", [(0.2, 0.5)] * 3, cost=2.0, updates=2)
    assert cells(tables.comparison([arm], [ORDINARY]))[0][-3:] == ["+30.0", "–", "–"]
    other = {**ORDINARY, "run": {**ORDINARY["run"], "seed": 2}}
    assert cells(tables.comparison([arm], [other]))[0][-3:] == ["–", "–", "–"]
    assert cells(tables.comparison([ORDINARY], [ORDINARY]))[0][-3:] == ["", "", ""]


def test_the_longest_training_of_an_arm_counts(tmp_path: Path):
    runs = [result("a", [(0.1, 0.1)]), result("a", [(0.1, 0.1), (0.2, 0.3)]), result("b", [(0.1, 0.2)])]
    (tmp_path / "polyps.jsonl").write_text("\n".join(map(json.dumps, runs)))
    assert [each["curve"][-1]["test"] for each in tables.read(tmp_path)["polyps"]] == [0.3, 0.2]


def test_the_seeds_of_an_arm_are_compared_each_with_its_own_twin():
    def seeded(training: dict[str, Any], seed: int) -> dict[str, Any]:
        return {**training, "run": {**training["run"], "seed": seed}}

    twins = [ORDINARY, seeded(result("ordinary", [(0.1, 0.4)] * 4), 2)]
    arms = [result("arm", [(0.2, 0.5)]), seeded(result("arm", [(0.2, 0.6)]), 2), result("once", [(0.2, 0.6)])]
    table = tables.over_seeds([*twins, *arms], twins)
    assert len(table.splitlines()) == 4
    assert cells(table)[0] == ["ordinary", "4", "35.0, 40.0", "", "", ""]
    assert cells(table)[1] == ["arm", "1", "50.0, 60.0", *["+30.0 (+20.0 to +40.0)"] * 3]
    assert cells(tables.over_seeds(arms, [ORDINARY]))[0][-1] == "–"  # a seed without its twin is no mean
    longer = result("arm", [(0.2, 0.5), (0.9, 0.9)])
    assert tables.over_seeds([*twins, longer, *arms[1:]], twins) == table  # its beginning is what the seeds share


def test_how_the_difference_develops():
    def rising(arm: str, epochs: int, gain: float, updates: int = 1) -> dict[str, Any]:
        return result(arm, [(gain * number, gain * number) for number in range(1, epochs + 1)], updates=updates)

    ordinary = [rising("ordinary", 80, 0.001)]
    twice = rising("masked loss", 40, 0.003, updates=2)
    table = tables.growth([*ordinary, twice, rising("DALE as printed", 39, 0.1)], ordinary)
    assert table is not None
    assert len(table.splitlines()) == 3  # what is too short is not in it
    # 10, 20, 40 epochs: 3 against 1 of each, then 3 against the 2 that ordinary training reaches in as many updates
    assert cells(table)[0] == ["masked loss", "+2.0", "+4.0", "+8.0", "+1.0", "+2.0", "+4.0"]
    assert tables.growth([*ordinary, rising("settings of nnUNetTrainerDALE", 40, 0.1)], ordinary) is None


def test_the_readings_are_beside_the_printed_form_of_their_length(tmp_path: Path):
    printed = result("DALE as printed", [(0.1, 0.11), (0.2, 0.22), (0.3, 0.33)])
    for table, stored in (("polyps", printed), ("readings", result("label whole", [(0.1, 0.1), (0.1, 0.1)]))):
        (tmp_path / f"{table}.jsonl").write_text(json.dumps(stored))
    rows = tables.all_tables(tmp_path).partition(tables.TITLES["readings"])[2]
    assert cells(rows.strip())[0][:2] == ["DALE as printed", "2"]
    assert cells(rows.strip())[0][5] == "22.0"


def test_what_ordinary_training_still_gains():
    curve = [(0.1, 0), (0.2, 0), (0.3, 0), (0.3, 0), (0.4, 0), (0.3, 0), (0.2, 0), (0.45, 0)]
    assert cells(tables.stopped([result("ordinary", curve)]))[0][1:] == ["8", "8", "30.0", "40.0", "45.0", "+5.0"]


def test_a_table_of_several_networks_names_them():
    other = {**ORDINARY, "run": {**ORDINARY["run"], "network": "V"}}
    assert "| network" in tables.comparison([ORDINARY, other], [])
    assert "| network" not in tables.comparison([ORDINARY], [])


def test_what_is_planned_and_not_stored_is_said():
    missing = tables.not_run({}).splitlines()[0]
    assert missing.startswith("- `polyps` (Polyps, clean labels), 7 of 7 trainings: ordinary; ")
    run = {**ORDINARY["run"], "network": "U-Net (BasicUNet)", "epochs": 3}
    line = tables.not_run({"polyps": [{"run": run}]}).splitlines()[0]
    assert "6 of 7 trainings: DALE as printed; " in line


def test_features_are_shown_by_class(tmp_path: Path):
    numbers = {"voxels": 9, "silhouette_of_classes_non_fuzzy": 0.5, "silhouette_of_classes_fuzzy": 0.25}
    numbers |= {"wasserstein": {"0": 0.1, "1": 0.2}}
    (tmp_path / "features.json").write_text(json.dumps({"features": {"U": numbers}}))
    assert cells(tables.features_table(tmp_path / "features.json"))[0] == ["U", "9", "0.50", "0.25", "0.10", "0.20"]
