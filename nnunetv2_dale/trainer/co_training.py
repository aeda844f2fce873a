"""nnU-Net's trainer with BECO's co-training: nnU-Net's hooks, no formulas."""

from __future__ import annotations

import torch
from torch import nn

from nnunetv2_dale.rivals.co_training import CoTrainingRecord, CoTrainingStep
from nnunetv2_dale.rivals.config import CoTrainingConfig
from nnunetv2_dale.trainer.modules_beside import TrainsBeside


class nnUNetTrainerBECO(TrainsBeside):
    """Two networks of the plans teach each other (Rong et al., CVPR 2023); the first one predicts.

    `-pretrained_weights` go into the first. A `"beco": {...}` object in the plans' configuration overrides the
    settings.
    """

    method = "BECO"
    key = "beco"
    record = CoTrainingRecord
    beco: CoTrainingConfig = CoTrainingConfig()
    step: CoTrainingStep

    def _build_beside(self) -> nn.Module:
        """The second network, with first weights of its own."""
        network: nn.Module = self.build_network_architecture(
            self.plans_manager,
            self.configuration_manager,
            self.num_input_channels,
            self.label_manager.num_segmentation_heads,
            self.enable_deep_supervision,
        )
        return network

    def on_train_start(self) -> None:
        super().on_train_start()
        self.step = CoTrainingStep(
            first=self._unwrapped_network(),
            second=torch.compile(self.beside) if self._do_i_compile() else self.beside,
            loss=self._masked_loss(),
            config=self.beco,
            spacing_mm=self.configuration_manager.spacing,
            image_channels=self._image_channels,
            backward=self._backward,
            autocast=self._autocast,
        )

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.step.trust_all = self.current_epoch < round(self.beco.warm_up_share * self.num_epochs)
