"""nnU-Net's trainer that doubts one of two groups of differently drawn cases. Not in the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.case_trust.weighted_step import WeightedStep
from nnunetv2_dale.trainer.case_memory import restore_cases, save_cases
from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.training_log import means_of_what_is_there, of_all_ranks

NUMBERS = ("trust_mean", "trust_std")


class nnUNetTrainerCaseTrust(SafeTraining):
    """One update per batch, at the price of plain nnU-Net, which it is where it finds no two groups of cases.

    A `"case_trust": {...}` object in the plans' configuration overrides the settings.
    """

    case_trust: CaseTrustConfig = CaseTrustConfig()
    settings_of: ClassVar[tuple[str, ...]] = ("case_trust",)
    log_keys: ClassVar[tuple[str, ...]] = tuple(f"case_{name}" for name in NUMBERS)
    weighted_step: WeightedStep | None = None  # -> on_train_start

    def on_train_start(self) -> None:
        super().on_train_start()
        loss = self._masked_loss()
        trust = CaseTrust(loss, self.case_trust, self._batches, self._image_channels)
        if self.current_epoch > 0:
            heads = self.label_manager.num_segmentation_heads
            restore_cases(trust, Path(self.output_folder), self.training_cases, heads, self.device)
        self.weighted_step = WeightedStep(self.network, self.optimizer, loss, trust, self._update, self._autocast)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        assert self.weighted_step is not None
        trust = self.weighted_step.trust
        if trust.may_doubt(self.current_epoch * self.num_iterations_per_epoch):
            for sentence in trust.look_for_groups():
                self.print_to_log_file("groups of cases:", sentence)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        assert self.weighted_step is not None
        images, targets = self._on_device(batch)
        record = self.weighted_step(images, targets, batch.get("keys"))
        values = torch.stack([record.loss, record.trust_mean, record.trust_std]).cpu().numpy()
        return {"loss": values[0], "case_trust": values[1:]}

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        means = means_of_what_is_there(of_all_ranks([output["case_trust"] for output in train_outputs], self.is_ddp))
        self.log_numbers("trust of the cases", dict(zip(NUMBERS, means.tolist(), strict=True)), "case_")

    def save_checkpoint(self, filename: str) -> None:
        super().save_checkpoint(filename)
        if self.weighted_step is not None and self.local_rank == 0 and not self.disable_checkpointing:
            save_cases(self.weighted_step.trust, Path(filename))
