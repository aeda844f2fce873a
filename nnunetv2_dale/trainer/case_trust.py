"""nnU-Net's trainer that doubts one of two groups of differently drawn cases. Not in the paper."""

from __future__ import annotations

from typing import Any, ClassVar

from nnunetv2_dale.case_trust.weighted_step import WeightedStep
from nnunetv2_dale.trainer.training_log import doubted_in, means_by_name, on_host, outcome
from nnunetv2_dale.trainer.trusted_cases import TrustsCases

NUMBERS = ("trust_mean", "trust_std")


class nnUNetTrainerCaseTrust(TrustsCases):
    """One update per batch, at the price of plain nnU-Net, which it is where it finds no two groups of cases.

    A `"case_trust": {...}` object in the plans' configuration overrides the settings.
    """

    settings_of: ClassVar[tuple[str, ...]] = ("case_trust",)
    log_keys: ClassVar[tuple[str, ...]] = tuple(f"case_{name}" for name in NUMBERS)
    weighted_step: WeightedStep  # -> on_train_start

    def on_train_start(self) -> None:
        super().on_train_start()
        loss = self._masked_loss()
        trust = self._trust_cases(loss)
        self.weighted_step = WeightedStep(self.network, self.optimizer, loss, trust, self._update, self._autocast)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        images, targets = self._on_device(batch)
        record = self.weighted_step(images, targets, batch.get("keys"))
        values = on_host(record.loss, record.trust_mean, record.trust_std)
        return {"loss": values[0], "case_trust": values[1:]}

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        means = means_by_name([output["case_trust"] for output in train_outputs], NUMBERS, self.is_ddp)
        self.log_numbers("trust of the cases", means, "case_")

    def on_train_end(self) -> None:
        super().on_train_end()
        self.print_to_log_file("CaseTrust:", outcome(doubted_in(self.epochs_of("case_trust_mean"), self.groups)))
