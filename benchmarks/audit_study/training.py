"""Three folds of a short nnU-Net training per condition; each network predicts the cases it has not seen."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoDA import nnUNetTrainerNoDA

from benchmarks.audit_study.conditions import FOLDS, HIPPOCAMPUS, LIDC, Condition, preprocessed_folder, small_plans

BATCHES_PER_EPOCH = 120


class nnUNetTrainerShort(nnUNetTrainerNoDA):
    """nnU-Net's training without augmentation, for 1200 batches: each slice of a hippocampus is seen about twice."""


class nnUNetTrainerAugmented(nnUNetTrainer):
    """nnU-Net's training as it is, for 3000 batches: the few slices of LIDC are seen fifty times."""


TRAININGS: dict[str, tuple[type[nnUNetTrainer], int]] = {
    HIPPOCAMPUS: (nnUNetTrainerShort, 10),  # and its epochs
    LIDC: (nnUNetTrainerAugmented, 25),
}


def results_folder(condition: Condition) -> Path:
    """As nnU-Net names it: DATASET/TRAINER__PLANS__CONFIGURATION."""
    trainer, _ = TRAININGS[condition.data]
    dataset = preprocessed_folder(condition).name
    return Path(os.environ["nnUNet_results"]) / dataset / f"{trainer.__name__}__small__2d"  # noqa: SIM112


def train_folds(condition: Condition) -> None:
    """Train and validate, with probabilities; a fold that is validated stays."""
    torch.set_num_threads(1)
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112 -- the loader works in this process; the planner would refuse it
    for fold in range(FOLDS):
        if (results_folder(condition) / f"fold_{fold}" / "validation" / "summary.json").is_file():
            continue
        started = time.monotonic()
        for seed in (torch.manual_seed, np.random.seed, random.seed):
            seed(fold)
        description = json.loads((preprocessed_folder(condition) / "dataset.json").read_text())
        trainer_class, epochs = TRAININGS[condition.data]
        trainer = trainer_class(small_plans(condition), "2d", fold, description, device=torch.device("cpu"))
        trainer.num_epochs, trainer.save_every = epochs, epochs + 1
        trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = BATCHES_PER_EPOCH, 1
        trainer.run_training()
        trainer.perform_actual_validation(save_probabilities=True)
        print(condition.name, "fold", fold, f"{time.monotonic() - started:.0f} s", flush=True)
