"""One training of the study: a real trainer on stored batches, for a given amount of computing."""

from __future__ import annotations

import fcntl
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.accuracy.arms import ARMS, Arm
from benchmarks.accuracy.batches import Batches, make_batches, read_batches
from benchmarks.accuracy.checked_batches import CheckedCases
from benchmarks.accuracy.confidence_quality import confidence_quality
from benchmarks.accuracy.judging import Judge
from benchmarks.accuracy.study_data import ALL, folder_of, small_plans
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.config import DaleTrainerConfig
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.rivals import nnUNetTrainerGCE

EPOCHS = 20  # of the learning rate's schedule, whatever the number of batches


@dataclass(frozen=True)
class Run:
    """One training: what is trained on what, for `budget` batches, or as long as plain nnU-Net takes for them.

    A seed is the network's first weights, and the place in the fold's batches at which training starts.
    """

    data: str
    labels: str  # the version of the labels that is trained on
    configuration: str
    fold: int
    arm: str
    budget: int
    seed: int = 0
    equal: str = "batches"  # or "time"

    @property
    def key(self) -> str:
        return "/".join(str(each) for each in vars(self).values())


def train(run: Run, workspace: Path, cost: float, checked: CheckedCases | None = None) -> dict[str, Any]:
    """Train, judge at four points in time, and return what the tables need.

    `cost` is the processor time of the arm's mean batch, in plain nnU-Net's; trainings of equal time ask for it. Cases
    are `checked` whose labels somebody has looked at.
    """
    data, arm = ALL[run.data], ARMS[run.arm]
    trainer = make_trainer(run, workspace, arm)
    wanted = run.budget if run.equal == "batches" else run.budget / cost
    iterations = max(EPOCHS, round(wanted / EPOCHS) * EPOCHS)
    trainer.num_iterations_per_epoch = iterations // EPOCHS
    batches = stored_batches(run, workspace)
    version = folder_of(workspace, data, run.labels).name
    _seed(run.seed)
    trainer.initialize()
    trainer.on_train_start()
    if checked is not None:
        batches = checked.given_to(trainer, batches, folder_of(workspace, data, data.truth).name)
    looked_at: dict[str, Any] = {} if checked is None else {"without": checked.not_measured, "probed": range(16)}
    _, held_out = trainer.do_split()
    judge = Judge(workspace, data, run.configuration, held_out)
    used, seconds, curve, quality = 0, 0.0, [], []
    for epoch in range(EPOCHS):
        trainer.on_train_epoch_start()
        outputs = []
        for _ in range(trainer.num_iterations_per_epoch):
            batch = batches.batch(used + run.seed * SEED_SHIFT, version)
            started = time.thread_time()
            outputs.append(trainer.train_step(batch))
            seconds += time.thread_time() - started
            used += 1
        trainer.on_train_epoch_end(outputs)
        trainer.current_epoch += 1
        if (epoch + 1) % (EPOCHS // 4) == 0:
            judged = judge.cases(trainer.network, surfaces=epoch + 1 == EPOCHS)
            curve.append({"iterations": used, "seconds": round(seconds, 2), "dice": judge.mean_dice(judged)})
            if run.labels != data.truth:
                quality.append({"iterations": used, **confidence_quality(trainer, batches, version, **looked_at)})
    return {
        "run": vars(run),
        "settings": arm.settings,
        "cost": None if math.isnan(cost) else cost,
        "iterations": used,
        "seconds": round(seconds, 2),
        "curve": curve,
        "confidence": quality,
        "log": _own_numbers(trainer),
        "cases": judged,
    }


def _own_numbers(trainer: nnUNetTrainer) -> dict[str, list[Any]]:
    """What the trainer logs per epoch beyond nnU-Net's: share of Algorithm 1, ω, L_W, its share of the gradient …"""
    log = trainer.logger.local_logger.my_fantastic_logging
    own = {name: values for name, values in log.items() if name.startswith(("dale_", "case_"))}
    return {name: [_short(value) for value in values] for name, values in own.items() if name != "dale_class_voxels"}


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(each) for each in value]
    return None if value is None or np.isnan(value) else round(float(value), 4)


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
    own = {"dale": DaleTrainerConfig(**arm.settings)} if arm.trainer == "dale" else {}
    kind = type("StudyTrainer", (bases[arm.trainer],), {**own, "get_dataloaders": lambda self: (None, None)})
    description = json.loads((folder / "dataset.json").read_text())
    plans = small_plans(folder, data, run.configuration)
    trainer: nnUNetTrainer = kind(plans, run.configuration, run.fold, description, device=torch.device("cpu"))
    trainer.num_epochs, trainer.disable_checkpointing = EPOCHS, True
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
BATCHES = {
    ("hippocampus", "2d"): 4000,
    ("hippocampus", "3d_fullres"): 1500,
    ("displaced", "2d"): 4000,
    ("displaced", "3d_fullres"): 1500,
    ("lidc", "2d"): 4000,
    ("checked", "2d"): 2000,
}


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
