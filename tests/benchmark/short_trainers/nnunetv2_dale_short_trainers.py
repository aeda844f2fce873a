"""Trainers of a few seconds, for tests that run nnU-Net's real commands on the CPU.

Used by naming this folder in ``nnUNet_extTrainer``. The module's name is unique on ``sys.path``, as nnU-Net's search
requires, and nothing may pickle these classes: nnU-Net drops the modules of a scanned folder from ``sys.modules``.
"""

import matplotlib
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE

matplotlib.rcParams["figure.dpi"] = 10  # progress.png has 30 x 54 inches: seconds after every epoch


class nnUNetTrainer_short(nnUNetTrainer):
    """Plain nnU-Net: 2 epochs of 3 iterations, a checkpoint after each."""

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device: torch.device) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 2
        self.num_iterations_per_epoch = 3
        self.num_val_iterations_per_epoch = 1
        self.save_every = 1


class nnUNetTrainer_long(nnUNetTrainer_short):
    """The same with epochs enough to be killed in the middle."""

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device: torch.device) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 12


class nnUNetTrainer_broken(nnUNetTrainer_short):
    """Fails in its second epoch, as a diverging or crashing training does."""

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            raise RuntimeError("this trainer breaks in its second epoch")
        super().on_train_epoch_start()


class nnUNetTrainerDALE_short(nnUNetTrainerDALE, nnUNetTrainer_short):
    """DALE: 2 epochs of 3 iterations, a checkpoint after each."""
