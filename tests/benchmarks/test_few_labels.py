"""The study of few labels on ACDC: its folds, datasets, plans and tables, without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from benchmarks.cases import TINY_2D, plans
from benchmarks.few_labels import (
    ARMS,
    LAST,
    PATCH,
    RESULTS,
    Run,
    calibration_table,
    copy_cases,
    dice_of,
    folds_of,
    main,
    patients_of,
    results_table,
    small_configuration,
)
from benchmarks.pages import other_numbers
from nnunetv2_dale.nnunet_files.json_files import read_json, write_json
from tests.benchmarks.tables import cells


def row(arm: str, labelled: int, dice: float, seconds: int = 100, seed: int = 0, **more: Any) -> dict[str, Any]:
    run = {"arm": arm, "labelled": labelled, "seed": seed, "iterations": 500}
    return {"run": run, "dice": dice, "processor_seconds": seconds, **more}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "Dataset027_ACDC"
    for place in ("imagesTr", "labelsTr"):
        (folder / place).mkdir(parents=True)
    for case in ("patient010_01", "patient002_01", "patient002_02"):
        label = SimpleITK.GetImageFromArray(np.arange(8, dtype=np.uint8).reshape(2, 2, 2) % 4)
        SimpleITK.WriteImage(label, str(folder / "imagesTr" / f"{case}_0000.nii.gz"))
        SimpleITK.WriteImage(label, str(folder / "labelsTr" / f"{case}.nii.gz"))
    write_json(folder / "dataset.json", {"labels": {"background": 0, "right": 1}, "numTraining": 3})
    return tmp_path / "data"


def test_cases_of_a_patient_stay_together(source: Path) -> None:
    assert patients_of(source) == [["patient002_01", "patient002_02"], ["patient010_01"]]


def test_judges_hold_out_patients_and_the_last_fold_holds_out_nobody() -> None:
    labelled = [[f"p{number}_1", f"p{number}_2"] for number in range(4)]
    folds = folds_of(labelled, ["u_1"])
    assert len(folds) == LAST + 1
    held_out = [case for fold in folds[:LAST] for case in fold["val"]]
    assert sorted(held_out) == sorted(case for cases in labelled for case in cases)
    for fold in folds[:LAST]:
        patients = {case[:2] for case in fold["val"]}
        assert not patients & {case[:2] for case in fold["train"]}
        assert "u_1" in fold["train"]
    assert set(folds[LAST]["train"]) == {*held_out, "u_1"}


def test_a_case_without_label_is_all_ignore_label(source: Path, tmp_path: Path) -> None:
    copy_cases(source / "Dataset027_ACDC", tmp_path / "new", ["patient010_01"], ["patient002_01"])
    assert read_json(tmp_path / "new" / "dataset.json")["labels"]["ignore"] == 4
    label = SimpleITK.ReadImage(str(tmp_path / "new" / "labelsTr" / "patient002_01.nii.gz"))
    assert set(SimpleITK.GetArrayFromImage(label).ravel()) == {4}
    own = dice_of(
        *[each / "labelsTr" / "patient010_01.nii.gz" for each in (tmp_path / "new", source / "Dataset027_ACDC")]
    )
    assert own == [1.0, 1.0, 1.0]


def test_arms_that_are_given_the_same_share_a_dataset_and_no_others() -> None:
    names = {arm: Run(arm, 3, 0, 500).dataset for arm in ARMS}
    for arm, name in names.items():
        assert [other for other in ARMS if names[other] == name] == [
            other for other in ARMS if ARMS[other][2] == ARMS[arm][2]
        ]
    assert Run("pseudo-labels", 3, 0, 500).dataset != Run("pseudo-labels", 3, 1, 500).dataset  # of other judges
    assert Run("DKNet", 3, 0, 500).dataset == Run("DKNet", 3, 1, 500).dataset


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_its_settings_in_smaller_plans(arm: str) -> None:
    planned = plans(TINY_2D)["configurations"]["2d"]
    made = small_configuration(planned, ARMS[arm][1])
    assert made["patch_size"] == PATCH
    assert made["dknet"].items() >= ARMS[arm][1].items()
    assert {name for name in made if made[name] == planned.get(name)} >= {"spacing", "normalization_schemes"}


def test_an_arm_is_beside_the_labels_alone_of_its_seed() -> None:
    rows = [
        row("labels alone", 3, 0.5),
        row("labels alone", 3, 0.6, seed=1),
        row("all labels", 40, 0.8),
        row("DKNet", 3, 0.53, seconds=250),
        row("DKNet", 3, 0.59, seconds=200, seed=1),
    ]
    assert cells(results_table(rows)) == [
        ["3", "500", "labels alone", "50.00, 60.00", "+0.00, +0.00", "1.0, 1.0"],
        ["3", "500", "all labels", "80.00", "+30.00", "1.0"],
        ["3", "500", "DKNet", "53.00, 59.00", "+3.00, -1.00", "2.5, 2.0"],
    ]


def test_the_error_of_the_expected_dice_is_the_mean_over_cases_and_classes() -> None:
    judged = [["a", 1, 0.9, 0.8], ["a", 2, 0.7, 0.9], ["b", 1, 0.5, 0.2]]
    rows = [row("DKNet", 3, 0.5), row("pseudo-labels, gated", 3, 0.5, judged=judged)]
    assert cells(calibration_table(rows)) == [
        ["3", "500", "0", "3", "0.700", "0.633", "0.200", "0.800 (1)", "0.550 (2)"]
    ]


def test_a_workspace_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--workspace", "w"]) == 2
    assert "give both" in capsys.readouterr().err


def test_gains_are_above_the_labels_alone_of_the_same_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_numbers, "RESULTS", tmp_path)
    rows = [row("labels alone", 3, 0.50), row("labels alone", 3, 0.55, seed=1), row("labels alone", 7, 0.70)]
    rows += [row("DKNet", 3, 0.53), row("DKNet", 3, 0.535, seed=1), row("all labels", 40, 0.80)]
    (tmp_path / RESULTS.name).write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert other_numbers.acdc_gain("DKNet", 3, 500) == "+3.0 and −1.5"
    assert other_numbers.acdc_gain("all labels", 40, 500) == "+30.0"
    assert other_numbers.acdc_gain("all labels", 40, 500, beside=7) == "+10.0"
