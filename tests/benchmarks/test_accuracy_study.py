"""The study's batches and its look at a confidence: what the arms share, and that looking changes nothing."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.accuracy import study, study_data
from benchmarks.accuracy.batches import Batches, make_batches, read_batches
from benchmarks.accuracy.confidence_quality import confidence_quality
from benchmarks.accuracy.study_data import DISPLACED, folder_of, small_plans
from benchmarks.accuracy.study_plan import TABLES
from nnunetv2_dale.demo.phantom import write_phantom_dataset
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted
from tests.datasets import NnunetFolders
from tests.trainer.fixtures import make_trainer, started, weights_of


@pytest.fixture
def two_versions(nnunet: NnunetFolders, tmp_path: Path) -> Batches:
    """Batches of one dataset with the labels of two: of its own, and of the same cases with ignored outer slices."""
    trainer = make_trainer(nnUNetTrainerDALE)
    trainer.initialize()
    names = ["Dataset901_Labels", "Dataset903_Ignore"]
    folders = [nnunet.preprocessed / name / "nnUNetPlans_2d" for name in names]
    torch.manual_seed(0)
    np.random.seed(0)
    make_batches(tmp_path / "batches", trainer, folders, count=6)
    return read_batches(tmp_path / "batches")


def test_all_versions_of_a_label_go_through_the_same_augmentation(two_versions: Batches) -> None:
    differing = 0
    for number in range(len(two_versions)):
        first, second = (two_versions.batch(number, version) for version in two_versions.versions)
        assert torch.equal(first["data"], second["data"])
        assert first["keys"] == second["keys"]
        changed = two_versions.changed(number, "Dataset903_Ignore")
        assert torch.equal(changed, first["target"][0] != second["target"][0])
        assert not two_versions.changed(number, "Dataset901_Labels").any()
        # the versions differ where the second is to be ignored, and nowhere else
        assert torch.equal(second["target"][0][changed], torch.full_like(second["target"][0][changed], 5))
        differing += int(changed.any())
    assert differing > 0


def test_a_longer_training_starts_again_at_the_first_batch(two_versions: Batches) -> None:
    version = two_versions.versions[0]
    assert torch.equal(two_versions.batch(1, version)["data"], two_versions.batch(7, version)["data"])


@pytest.mark.parametrize("kind", [nnUNetTrainerDALE, nnUNetTrainerDALE_asPrinted])
def test_looking_at_a_confidence_leaves_the_training_as_it_was(two_versions: Batches, kind, monkeypatch) -> None:
    trainer = started(make_trainer(kind, iterations=8))
    assert trainer.dale_step is not None
    version = two_versions.versions[0]
    trainer.train_step(two_versions.batch(0, version))
    before, memory = weights_of(trainer), _memory(trainer)
    # an ignored voxel stands for a wrong one here
    monkeypatch.setattr(Batches, "changed", lambda self, number, _: _first_half(self.batch(number, version)))
    found = confidence_quality(trainer, two_versions, version)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(trainer).items())
    assert _memory(trainer) == memory
    assert 0 <= found["one_minus_p"]["auroc_all"] <= 1
    assert 0 <= found["one_minus_omega"]["ap_band"] <= 1


def _memory(trainer: nnUNetTrainerDALE) -> object:
    return None if trainer.trust is None else trainer.trust.displacement.state()


def _first_half(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    chosen = torch.zeros_like(batch["target"][0], dtype=torch.bool)
    chosen[..., : chosen.shape[-1] // 2] = True
    return chosen


def test_no_training_is_planned_twice_in_a_table() -> None:
    for runs in TABLES.values():
        keys = [run.key for run in runs]
        assert len(set(keys)) == len(keys)


def test_an_empty_workspace_becomes_the_datasets_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself, on a few phantoms in the place of the hippocampi; half a minute of nnU-Net's planner."""
    source, workspace = tmp_path / "source", tmp_path / "new workspace"
    like: dict[str, Any] = {
        "dataset_id": 4,
        "name": "Hippocampus",
        "shape": (20, 40, 48),
        "spacing_mm": (2.0, 2.0, 2.0),
    }
    write_phantom_dataset(source, training_cases=5, test_cases=0, **like)
    shutil.rmtree(source / "Dataset004_Hippocampus" / "labelsTr_clean")  # the phantoms' labels are the truth here
    small = replace(DISPLACED, versions={"clean": 4, "eroded": 909}, configurations=("2d",))
    monkeypatch.setitem(study_data.ALL, "displaced", small)
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")  # as a training of the study leaves it
    monkeypatch.setenv("PATH", os.defpath)  # as where the environment is not activated
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_compile"):
        monkeypatch.setenv(name, "")  # the command sets them; the old ones come back after the test
    given = ["prepare", "--data", "displaced", "--workspace", str(workspace), "--source", str(source)]
    monkeypatch.setattr(sys, "argv", ["study.py", *given])
    study.main()
    for version in small.versions:
        folder = folder_of(workspace, small, version)
        assert len(list((folder / "tiny_2d").glob("*.pkl"))) == 5
        assert small_plans(folder, small, "2d")["plans_name"] == "tiny"
    clean, eroded = (workspace / "raw" / folder_of(workspace, small, each).name / "labelsTr" for each in small.versions)
    changed = [file.name for file in clean.iterdir() if file.read_bytes() != (eroded / file.name).read_bytes()]
    assert len(changed) == 3  # 60 % of five cases
