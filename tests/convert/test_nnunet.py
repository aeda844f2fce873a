"""Converted 2D datasets through nnU-Net: planned, preprocessed, and one trained with DALE by the real commands."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from argparse import Namespace
from multiprocessing.pool import ThreadPool
from pathlib import Path

import nnunetv2.utilities.utils
import pytest
from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry
from nnunetv2_dale.preprocessing import main

from tests.convert.fixtures import make_isic2016, make_lidc, make_mosmed_plus, make_polyp

TRAINER = """
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE

class nnUNetTrainerDALE_converted(nnUNetTrainerDALE):
    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 6, 1
"""
"""DALE as it is, for six iterations. Written into a folder that nnU-Net scans."""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """nnU-Net's three folders in the environment."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    environment = {name: str(tmp_path / name) for name in names}
    for name, folder in environment.items():
        monkeypatch.setenv(name, folder)
    return environment


@pytest.mark.parametrize(
    ("recipe", "make", "channels"),
    [("mosmed_plus", make_mosmed_plus, 1), ("polyp", make_polyp, 3), ("lidc", make_lidc, 1)],
)
def test_2d_datasets_are_planned_and_preprocessed(tmp_path, folders, monkeypatch, recipe, make, channels) -> None:
    assert main([recipe, "-i", str(make(tmp_path / recipe)), "--new_id", "501", "-np", "1"]) == 0
    # threads instead of processes: those nnU-Net spawns import for long, and forks of a process with threads can hang
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: Namespace(Pool=ThreadPool))
    monkeypatch.setattr(nnunetv2.utilities.utils, "Pool", ThreadPool)
    flags = ["-d", "501", "-c", "2d", "-npfp", "1", "-np", "1", "--verify_dataset_integrity"]
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_plan_and_preprocess", *flags])
    plan_and_preprocess_entry()
    (folder,) = Path(folders["nnUNet_preprocessed"]).iterdir()
    plans = json.loads((folder / "nnUNetPlans.json").read_text())["configurations"]["2d"]
    assert plans["normalization_schemes"] == ["ZScoreNormalization"] * channels
    num_training = len(list((Path(folders["nnUNet_raw"]) / folder.name / "labelsTr").iterdir()))
    assert len(list((folder / "nnUNetPlans_2d").glob("*.pkl"))) == num_training


def _run(command: str, *arguments: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name(command)), *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.integration
def test_a_converted_rgb_dataset_is_trained_with_dale(tmp_path: Path, folders: dict[str, str]) -> None:
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers/trainer_for_converted_data.py").write_text(TRAINER)
    environment = {**folders, "nnUNet_extTrainer": str(tmp_path / "trainers")}
    environment |= {"OMP_NUM_THREADS": "1", "nnUNet_def_n_proc": "1"}
    source = make_isic2016(tmp_path / "ISIC 2016", train=4, test=1)
    assert main(["isic2016", "-i", str(source), "--new_id", "502", "-np", "1"]) == 0
    plan = ("-d", "502", "-c", "2d", "-npfp", "1", "-np", "1")
    _run("nnUNetv2_plan_and_preprocess", *plan, environment={**environment, "nnUNet_n_proc_DA": "1"})
    training = ("502", "2d", "0", "-tr", "nnUNetTrainerDALE_converted", "-device", "cpu")
    _run("nnUNetv2_train", *training, environment={**environment, "nnUNet_n_proc_DA": "0"})

    raw, preprocessed = (Path(folders[name]) / "Dataset502_ISIC2016" for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    splits = [json.loads((folder / "splits_final.json").read_text()) for folder in (raw, preprocessed)]
    assert splits[0] == splits[1]  # nnU-Net took the fixed split along
    dataset_results = Path(folders["nnUNet_results"]) / "Dataset502_ISIC2016"
    fold = dataset_results / "nnUNetTrainerDALE_converted__nnUNetPlans__2d/fold_0"
    assert (fold / "checkpoint_final.pth").is_file()
    validated = json.loads((fold / "validation/summary.json").read_text())["metric_per_case"]
    assert [Path(case["prediction_file"]).name for case in validated] == ["ISIC_0000004.png"]
