"""nnU-Net's trainer with the abstaining Dice segmenter: nnU-Net's hooks, no formulas."""

from __future__ import annotations

from torch import nn

from nnunetv2_dale.rivals.abstaining_dice import AbstainingDiceStep, AbstainingRecord, AbstentionHead, penalty_of
from nnunetv2_dale.rivals.config import AbstainingDiceConfig
from nnunetv2_dale.trainer.distributed_gradients import start_equal
from nnunetv2_dale.trainer.modules_beside import NetworkWithSkips, TrainsBeside


class nnUNetTrainerADS(TrainsBeside):
    """Plain nnU-Net with the abstaining Dice loss (arXiv 2601.14039) in place of Dice and cross-entropy.

    An `"ads": {...}` object in the plans' configuration overrides the settings.
    """

    method = "ADS"
    key = "ads"
    record = AbstainingRecord
    ads: AbstainingDiceConfig = AbstainingDiceConfig()
    step: AbstainingDiceStep

    def _build_beside(self) -> nn.Module:
        channels = NetworkWithSkips(self._plain_network(), type(self).__name__).channels[-1]
        noise_rate = self.ads.noise_rate if self.ads.noise_rate_is == "given" else 0.0
        return AbstentionHead(channels, self.label_manager.num_segmentation_heads, noise_rate)

    def on_train_start(self) -> None:
        super().on_train_start()
        assert isinstance(self.beside, AbstentionHead)
        self.step = AbstainingDiceStep(
            self._network_with_skips(), self.beside, self._masked_loss(), self.ads, self._backward, self._autocast
        )

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        before = self.step.penalty
        self.step.penalty = penalty_of(self.current_epoch, self.num_epochs, self.ads)
        if self.is_ddp:
            start_equal(self.beside)  # each rank has estimated a noise rate of its own
        if before is None and self.step.penalty is not None:
            rates = [round(rate, 4) for rate in self.step.head.noise_rate.tolist()]
            self.print_to_log_file(f"ADS noise rate of each class ({self.ads.noise_rate_is}):", rates)
