"""Converted 2D datasets through nnU-Net: planned, preprocessed, and one trained with DALE."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from nnunetv2_dale.preprocessing import main

from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from tests.convert.fixtures import make_isic2016, make_lidc, make_mosmed_plus, make_polyp
from tests.run_commands import run, use_threads
from tests.trainer.fixtures import empty_progress_picture


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """nnU-Net's three folders in the environment."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    environment = {name: str(tmp_path / name) for name in names}
    for name, folder in environment.items():
        monkeypatch.setenv(name, folder)
    return environment


def plan_and_preprocess(dataset_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_threads(monkeypatch)
    run([f"nnUNetv2_plan_and_preprocess -d {dataset_id} -c 2d -npfp 1 -np 1 --verify_dataset_integrity"], monkeypatch)


@pytest.mark.parametrize(
    ("recipe", "make", "channels"),
    [("mosmed_plus", make_mosmed_plus, 1), ("polyp", make_polyp, 3), ("lidc", make_lidc, 1)],
)
def test_2d_datasets_are_planned_and_preprocessed(tmp_path, folders, monkeypatch, recipe, make, channels) -> None:
    assert main([recipe, "-i", str(make(tmp_path / recipe)), "--new_id", "501", "-np", "1"]) == 0
    plan_and_preprocess("501", monkeypatch)
    (folder,) = Path(folders["nnUNet_preprocessed"]).iterdir()
    plans = json.loads((folder / "nnUNetPlans.json").read_text())["configurations"]["2d"]
    assert plans["normalization_schemes"] == ["ZScoreNormalization"] * channels
    num_training = len(list((Path(folders["nnUNet_raw"]) / folder.name / "labelsTr").iterdir()))
    assert len(list((folder / "nnUNetPlans_2d").glob("*.pkl"))) == num_training


def test_a_converted_rgb_dataset_is_trained_with_dale(tmp_path: Path, folders: dict[str, str], monkeypatch) -> None:
    """Planned by nnU-Net, then a training and a validation of a network of a few thousand weights."""
    source = make_isic2016(tmp_path / "ISIC 2016", train=4, test=1)
    assert main(["isic2016", "-i", str(source), "--new_id", "502", "-np", "1"]) == 0
    plan_and_preprocess("502", monkeypatch)
    raw, preprocessed = (Path(folders[name]) / "Dataset502_ISIC2016" for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    plans = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    network = plans["configurations"]["2d"]["architecture"]["arch_kwargs"]
    network["features_per_stage"] = [4] * network["n_stages"]
    plans["configurations"]["2d"]["batch_size"], plans["continue_training"] = 2, False
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    monkeypatch.setattr(LocalLogger, "plot_progress_png", empty_progress_picture)
    description = json.loads((preprocessed / "dataset.json").read_text())
    trainer = nnUNetTrainerDALE(plans, "2d", 0, description, torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, 6, 1
    trainer.run_training()
    trainer.perform_actual_validation()

    splits = [json.loads((folder / "splits_final.json").read_text()) for folder in (raw, preprocessed)]
    assert splits[0] == splits[1]  # nnU-Net took the fixed split along
    fold = Path(trainer.output_folder)
    assert (fold / "checkpoint_final.pth").is_file()
    validated = json.loads((fold / "validation/summary.json").read_text())["metric_per_case"]
    assert [Path(case["prediction_file"]).name for case in validated] == ["ISIC_0000004.png"]
