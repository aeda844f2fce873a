"""One training of the study: a real trainer on stored batches, for a given amount of computing."""

from __future__ import annotations

import fcntl
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arms import ARMS, Arm
from batches import Batches, make_batches, read_batches
from confidence_quality import confidence_quality
from judging import Judge
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from study_data import ALL, folder_of, small_plans

from nnunetv2_dale.dale.config import ADAPTED
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.rivals import nnUNetTrainerGCE

EPOCHS = 20  # of the learning rate's schedule, whatever the number of batches


@dataclass(frozen=True)
class Run:
    """One training: what is trained on what, for as long as plain nnU-Net takes for `budget` batches.

    A seed is the network's first weights, and the place in the fold's batches at which training starts.
    """

    data: str
    labels: str  # the version of the labels that is trained on
    configuration: str
    fold: int
    arm: str
    budget: int
    seed: int = 0

    @property
    def key(self) -> str:
        return "/".join(str(each) for each in vars(self).values())


def train(run: Run, workspace: Path, cost: float) -> dict[str, Any]:
    """Train, judge at four points in time, and return what the tables need.

    Args:
        cost: processor time of the arm's iteration, in plain nnU-Net's.
    """
    data, arm = ALL[run.data], ARMS[run.arm]
    trainer = make_trainer(run, workspace, arm)
    iterations = max(EPOCHS, round(run.budget / cost / EPOCHS) * EPOCHS)
    trainer.num_iterations_per_epoch = iterations // EPOCHS
    batches = stored_batches(run, workspace)
    version = folder_of(workspace, data, run.labels).name
    _seed(run.seed)
    trainer.initialize()
    for group in trainer.optimizer.param_groups:
        group["momentum"] = arm.momentum
    trainer.on_train_start()
    _, held_out = trainer.do_split()
    judge = Judge(workspace, data, run.configuration, held_out)
    used, seconds, curve, quality = 0, 0.0, [], []
    for epoch in range(EPOCHS):
        trainer.on_train_epoch_start()
        for _ in range(trainer.num_iterations_per_epoch):
            batch = batches.batch(used + run.seed * SEED_SHIFT, version)
            started = time.thread_time()
            trainer.train_step(batch)
            seconds += time.thread_time() - started
            used += 1
        trainer.current_epoch += 1
        if (epoch + 1) % (EPOCHS // 4) == 0:
            judged = judge.cases(trainer.network, surfaces=epoch + 1 == EPOCHS)
            curve.append({"iterations": used, "seconds": round(seconds, 2), "dice": judge.mean_dice(judged)})
            likelihood = getattr(getattr(trainer, "alternating_step", None), "likelihood", None)
            if likelihood is not None and likelihood.displacement.state():
                curve[-1]["spread"] = round(float(likelihood.displacement.spread()), 4)
            if run.labels != data.truth:
                quality.append({"iterations": used, **confidence_quality(trainer, batches, version)})
    return {
        "run": vars(run),
        "settings": arm.settings,
        "cost": cost,
        "iterations": used,
        "seconds": round(seconds, 2),
        "curve": curve,
        "confidence": quality,
        "cases": judged,
    }


def make_trainer(run: Run, workspace: Path, arm: Arm) -> nnUNetTrainer:
    """The arm's trainer, not initialised; it writes no files but nnU-Net's log."""
    data = ALL[run.data]
    folder = folder_of(workspace, data, data.truth)
    bases: dict[str, type[nnUNetTrainer]] = {
        "plain": nnUNetTrainer,
        "gce": nnUNetTrainerGCE,
        "dale": nnUNetTrainerDALE,
        "case trust": nnUNetTrainerCaseTrust,
    }
    own = {"dale": ADAPTED.updated(arm.settings)} if arm.trainer == "dale" else {}
    kind = type("StudyTrainer", (bases[arm.trainer],), {**own, "get_dataloaders": lambda self: (None, None)})
    description = json.loads((folder / "dataset.json").read_text())
    plans = small_plans(folder, data, run.configuration)
    trainer: nnUNetTrainer = kind(plans, run.configuration, run.fold, description, device=torch.device("cpu"))
    trainer.num_epochs, trainer.initial_lr, trainer.disable_checkpointing = EPOCHS, arm.learning_rate, True
    return trainer


def stored_batches(run: Run, workspace: Path) -> Batches:
    """The augmented batches of a fold, made at the first call; a longer training reads them again."""
    folder = workspace / "batches" / f"{run.data}_{run.configuration}_fold{run.fold}_seed0"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another command may be making the same ones
        if not (folder / "batches.json").exists():
            _make(folder, run, workspace)
    return read_batches(folder)


def _make(folder: Path, run: Run, workspace: Path) -> None:
    data = ALL[run.data]
    _seed(0)
    truth = folder_of(workspace, data, data.truth)
    description = json.loads((truth / "dataset.json").read_text())
    plans = small_plans(truth, data, run.configuration)
    trainer = nnUNetTrainer(plans, run.configuration, run.fold, description, device=torch.device("cpu"))
    trainer.initialize()
    folders = [folder_of(workspace, data, version) / f"tiny_{run.configuration}" for version in data.versions]
    make_batches(folder, trainer, folders, BATCHES[run.data, run.configuration])


SEED_SHIFT = 1300  # batches

# How many batches are made; a training of more starts again at the first.
BATCHES = {("hippocampus", "2d"): 4000, ("hippocampus", "3d_fullres"): 1500, ("lidc", "2d"): 4000}


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
