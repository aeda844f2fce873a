"""The methods, and settings with which the whole of each is at work in a training of a few batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.trainer import variants
from nnunetv2_dale.trainer.abstaining_dice import nnUNetTrainerADS
from nnunetv2_dale.trainer.all_trainers import WRITTEN
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.co_training import nnUNetTrainerBECO
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.dknet import nnUNetTrainerDKNet
from nnunetv2_dale.trainer.meta_weight_net import nnUNetTrainerMWNet
from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL
from nnunetv2_dale.trainer.with_unlabelled import TrainsWithUnlabelled
from tests.trainer.fixtures import (
    EAGER_TO_DOUBT,
    TINY_DK_UXNET,
    TINY_DKNET,
    SeededEpochs,
    leaves,
    make_trainer,
    started,
    stop_after,
    train,
)

Settings = dict[type[nnUNetTrainer], dict[str, Any]]

# one phase after the other; the last from the second of two epochs on
BY_AND_BY: Settings = {
    variants.nnUNetTrainerDALE_asPrinted: {},
    # of 8 batches the first two are whole; then every second is an iteration of Algorithm 1
    nnUNetTrainerDALE: {
        "dale": {"phase_in": 0.25, "phase_out": 0.0, "every": 2, "learned": 0.01, "patch_size": 8},
        **EAGER_TO_DOUBT,
    },
    nnUNetTrainerCaseTrust: EAGER_TO_DOUBT,
    nnUNetTrainerSVLDRL: {"svl_drl": {"warm_up_share": 0.5, "transition_share": 0.0, "full_share": 0.5}},
    nnUNetTrainerMWNet: {"mwnet": {"patch_size": 8}},
    nnUNetTrainerBECO: {"beco": {"patch_size": 8, "warm_up_share": 0.5}},
    nnUNetTrainerADS: {"ads": {"warm_up_share": 0.5}},
    nnUNetTrainerDKNet: {"dknet": TINY_DKNET},
    nnUNetTrainerDKUXNet: {"dk_uxnet": TINY_DK_UXNET},
}
# from the first batch on
AT_ONCE: Settings = {
    **BY_AND_BY,
    nnUNetTrainerDALE: {"dale": {"phase_in": 0.0, "phase_out": 0.0, "learned": 0.0, "patch_size": 8}},
    nnUNetTrainerSVLDRL: {"svl_drl": {"warm_up_share": 0.0, "transition_share": 0.0, "full_share": 1.0}},
    nnUNetTrainerBECO: {"beco": {"patch_size": 8, "warm_up_share": 0.0}},
    nnUNetTrainerADS: {"ads": {"warm_up_share": 0.0, "noise_rate_is": "given"}},
}


def settings_of(trainer_class: type[nnUNetTrainer], table: Settings) -> dict[str, Any]:
    """Of the class, or of the first one it inherits from that has some; a trainer without an entry needs none."""
    return next((dict(table[kind]) for kind in trainer_class.__mro__ if kind in table), {})


# one of each method; ablations differ in a setting
FAMILIES = [kind for kind in WRITTEN if "_" not in kind.__name__] + [variants.nnUNetTrainerDALE_asPrinted]
EVERY_TRAINER = pytest.mark.parametrize("trainer_class", WRITTEN, ids=lambda kind: kind.__name__)
EVERY_FAMILY = pytest.mark.parametrize("trainer_class", FAMILIES, ids=lambda kind: kind.__name__)
NO_GROUPS = {"dale_case_mean", "dale_case_std"}  # no trust to take the mean of


def make(
    trainer_class: type[nnUNetTrainer], table: Settings = BY_AND_BY, data: tuple[str, str] | None = None, **others: Any
) -> nnUNetTrainer:
    """A trainer on what it can train: some need cases without labels, DK-UXNet three axes."""
    in_3d = issubclass(trainer_class, nnUNetTrainerDKUXNet)
    kind = "Unlabelled" if issubclass(trainer_class, TrainsWithUnlabelled) else "Labels"
    kind, configuration = data or (kind, "3d_fullres" if in_3d else "2d")
    settings = settings_of(trainer_class, table) | others.pop("settings", {})
    if in_3d and "iterations" not in others:
        others["iterations"] = 1  # of the slowest network
    return make_trainer(trainer_class, kind, configuration, settings=settings, **others)


def alike(trainer_class: type[nnUNetTrainer], table: Settings = AT_ONCE, **others: Any) -> nnUNetTrainer:
    """In its first epoch, with the same first weights each time."""
    torch.manual_seed(0)
    return started(make(trainer_class, table, **others))


def checkpoint_of(trainer: nnUNetTrainer) -> dict[str, Any]:
    """All of the final checkpoint but the times, and the best pseudo Dice.

    nnU-Net stores `checkpoint_latest` before it compares an epoch with the best one, so a resumed training can take a
    lower one for the best. The log has the pseudo Dice of every epoch.
    """
    checkpoint = torch.load(Path(trainer.output_folder, "checkpoint_final.pth"), weights_only=False)
    left_out = ("timestamps", ".device", "._best_ema", "continue_training")
    return {key: value for key, value in leaves(checkpoint).items() if not any(part in key for part in left_out)}


def whole_and_resumed(
    trainer_class: type[nnUNetTrainer], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[nnUNetTrainer, nnUNetTrainer]:
    """A training of three epochs, and one that died after two and went on: with the same checkpoint, bit by bit."""
    kind: type[nnUNetTrainer] = type("Seeded", (SeededEpochs, trainer_class), {})
    torch.manual_seed(0)
    whole = make(kind, epochs=3, iterations=4)
    train(whole)
    monkeypatch.setenv("nnUNet_results", str(folder / "interrupted"))
    torch.manual_seed(0)
    stop_after(make(kind, epochs=3, iterations=4), epochs=2)
    torch.manual_seed(1)
    resumed = make(kind, epochs=3, iterations=4, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    assert resumed.current_epoch == 2
    train(resumed)
    np.testing.assert_equal(checkpoint_of(resumed), checkpoint_of(whole))
    return whole, resumed
