"""What of Meta-Weight-Net is the trainer's: the meta cases of the plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.trainer.meta_weight_net import nnUNetTrainerMWNet
from tests.datasets import tiny_plans
from tests.trainer.fixtures import TINY_TRAININGS, make_trainer, started, train

pytestmark = TINY_TRAININGS


def names_in(loader: Any, batches: int = 20) -> set[str]:
    return {str(name) for _ in range(batches) for name in next(loader)["keys"]}


def test_meta_cases_teach_the_weights_alone() -> None:
    """Fold 0 trains on cases 1 to 4: two of them are clean, and no batch of the training holds those."""
    clean = ["phantom_002", "phantom_004"]
    trainer = started(make_trainer(nnUNetTrainerMWNet, settings={"meta_cases": clean}))
    assert names_in(trainer.dataloader_train) == {"phantom_001", "phantom_003"}
    assert names_in(trainer.dataloader_meta) == set(clean)
    assert names_in(trainer.dataloader_val) == {"phantom_000"}
    log = train(make_trainer(nnUNetTrainerMWNet, settings={"meta_cases": clean}))
    assert np.isfinite(log["mwnet_weight_mean"]).all()
    assert "MWNet's clean labels: 2 cases" in Path(trainer.log_file).read_text()


def test_meta_cases_outside_a_configuration_are_refused() -> None:
    plans = {**tiny_plans("Dataset901_Labels"), "meta_cases": ["phantom_002"], "continue_training": False}
    with pytest.raises(ValueError, match='"meta_cases" is at the top of the plans, where it has no effect; move it'):
        nnUNetTrainerMWNet(plans, "2d", 0, {"labels": {"background": 0, "organ": 1}}, torch.device("cpu"))


def test_without_meta_cases_the_log_says_what_takes_their_place() -> None:
    trainer = started(make_trainer(nnUNetTrainerMWNet))
    assert "MWNet's clean labels: what is not fuzzy in each batch" in Path(trainer.log_file).read_text()
    assert len(names_in(trainer.dataloader_train)) == 4


@pytest.mark.parametrize(
    ("cases", "told"),
    [
        (["phantom_001", "phantom_000"], "1 name not in the training set of fold 0, first phantom_000; name"),
        (["elsewhere"], "1 name not in the training set of fold 0, first elsewhere"),
        (["phantom_001", "phantom_002", "phantom_003", "phantom_004"], "names every training case of fold 0; leave"),
        ("phantom_001", "\"meta_cases\" to be a list of names of training cases, got 'phantom_001'"),
        ([1, 2], "to be a list of names"),
    ],
)
def test_meta_cases_that_cannot_be_are_refused_before_anything_is_written(cases: Any, told: str) -> None:
    trainer = make_trainer(nnUNetTrainerMWNet, settings={"meta_cases": cases})
    with pytest.raises(RuntimeError, match=told):
        trainer.run_training()
    assert not list(Path(trainer.output_folder_base).rglob("*.json"))
    assert not list(Path(trainer.output_folder_base).rglob("*.pth"))


def test_other_trainers_use_every_case() -> None:
    trainer = started(make_trainer(nnUNetTrainer, settings={"meta_cases": ["phantom_002"]}))
    assert "phantom_002" in names_in(trainer.dataloader_train)
