"""Trainers of a minute or so on a CPU, for the demo only: plain nnU-Net and DALE with the same number of batches.

A class's name is its result folder's name, so each length is a class of its own, as in nnU-Net's own variants.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from nnunetv2.paths import nnUNet_raw
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam

from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.commands.worker_pool import usable_cores
from nnunetv2_dale.demo.dale_example import example_of
from nnunetv2_dale.demo.scale import FULL, QUICK
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.training_log import SCALARS

MOST_THREADS = 8  # networks as small as the demo's get slower with more


class ShortTraining(nnUNetTrainerAdam):  # type: ignore[misc]
    """A training of few batches, from the seed that the dataset's `demo_seed` names.

    In a few hundred batches nnU-Net's optimizer hardly finds a lesion, so the optimizer is that of its AdamW variant.
    """

    demo_epochs = FULL.epochs
    demo_batches_per_epoch = FULL.batches_per_epoch

    def initialize(self) -> None:
        """Set the length and seed everything, then build the network: both trainings start from the same weights."""
        self.num_epochs = self.demo_epochs
        self.num_iterations_per_epoch = self.demo_batches_per_epoch
        self.num_val_iterations_per_epoch = 2
        self.initial_lr = 1e-3
        seed = int(self.dataset_json.get("demo_seed", 0))
        random.seed(seed)
        np.random.seed(seed)  # nnU-Net's data loaders draw from the global state
        torch.manual_seed(seed)
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores(), MOST_THREADS))
        super().initialize()

    def on_epoch_end(self) -> None:
        """End it, with few pixels for its progress.png: 30 x 54 inches take longer than validating."""
        with matplotlib.rc_context({"figure.dpi": 30}):
            super().on_epoch_end()


class nnUNetTrainer_demo(ShortTraining):
    """Plain nnU-Net, 8 epochs of 30 batches."""


class ShortDale(ShortTraining, nnUNetTrainerDALE):
    """DALE as `nnUNetTrainerDALE` trains, for few batches and few cases; keeps an example for the page."""

    case_trust = CaseTrustConfig(after=0, fewest=2)

    def on_train_start(self) -> None:
        super().on_train_start()
        self._alignment: list[float] = []

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        output = super().train_step(batch)
        self._alignment.append(float(output["dale"][SCALARS.index("alignment")]))
        return output

    def on_train_end(self) -> None:
        super().on_train_end()
        dataset = Path(nnUNet_raw) / self.plans_manager.dataset_name
        wide = json.loads((dataset / "phantom.json").read_text())["drawn_wide"]
        example_of(self, dataset / "labelsTr_clean", wide, self._alignment).write(Path(self.output_folder))


class nnUNetTrainerDALE_demo(ShortDale):
    """DALE, 8 epochs of 30 batches."""


class QuickTraining(ShortTraining):
    """So few batches that nothing is learnt: they show that the way is open."""

    demo_epochs = QUICK.epochs
    demo_batches_per_epoch = QUICK.batches_per_epoch


class nnUNetTrainer_demoQuick(QuickTraining):
    """Plain nnU-Net, 2 epochs of 4 batches."""


class nnUNetTrainerDALE_demoQuick(QuickTraining, ShortDale):
    """DALE, 2 epochs of 4 batches; in so few no class is learned that could be waited for."""

    dale = replace(nnUNetTrainerDALE.dale, learned=0.0)
