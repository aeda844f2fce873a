"""nnU-Net's trainer with SVL-DRL's training iteration: nnU-Net's hooks, no formulas."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from nnunetv2_dale.svl_drl.config import SvlDrlConfig
from nnunetv2_dale.svl_drl.decoders import ActorCritic
from nnunetv2_dale.svl_drl.stages import stage_of
from nnunetv2_dale.svl_drl.step_record import StepRecord
from nnunetv2_dale.svl_drl.training_step import SvlDrlStep
from nnunetv2_dale.trainer.modules_beside import NetworkWithSkips, TrainsBeside


class nnUNetTrainerSVLDRL(TrainsBeside):
    """Trains with SVL-DRL (arXiv 2601.03875): in the last stage each voxel edits its intensity before it is judged.

    A `"svl_drl": {...}` object in the plans' configuration overrides the settings.
    """

    method = "SVL-DRL"
    key = "svl_drl"
    record = StepRecord
    svl_drl: SvlDrlConfig = SvlDrlConfig()
    step: SvlDrlStep

    def _build_beside(self) -> nn.Module:
        channels = NetworkWithSkips(self._plain_network(), type(self).__name__).channels
        return ActorCritic(channels, len(self.configuration_manager.patch_size), self.svl_drl.decoder_width)

    def _build_own_optimizer(self) -> torch.optim.Optimizer:
        """Adam for the two decoders, whose gradients are small."""
        return torch.optim.Adam(self.beside.parameters(), self.svl_drl.decoder_lr)

    def on_train_start(self) -> None:
        super().on_train_start()
        assert isinstance(self.beside, ActorCritic)
        self.step = SvlDrlStep(
            network=self._network_with_skips(),
            actor_critic=self.beside,
            segmentation_loss=self.loss if self.given is None else self._masked_loss(),
            labels=self._masked_loss(),
            classes=self.label_manager.num_segmentation_heads,
            config=self.svl_drl,
            backward=self._backward,
            image_channels=self._image_channels,
            autocast=self._autocast,
            generator=torch.Generator(self.device),
        )

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        assert self.own_optimizer is not None
        assert self.step.generator is not None
        decayed = self.optimizer.param_groups[0]["lr"] / self.initial_lr  # as nnU-Net's schedule
        self.own_optimizer.param_groups[0]["lr"] = self.svl_drl.decoder_lr * decayed
        # from the epoch, so that a resumed training draws what an uninterrupted one would
        self.step.generator.manual_seed(self.current_epoch * 1000 + self.local_rank)
        self.step.stage = stage_of(self.current_epoch, self.num_epochs, self.svl_drl.stage_shares)
        self.print_to_log_file("SVL-DRL stage:", self.step.stage.name.lower().replace("_", "-"))


class nnUNetTrainerSVLDRL_uniformActions(nnUNetTrainerSVLDRL):
    """SVL-DRL without a policy: what the edits do to a training whoever chooses them."""

    svl_drl = replace(nnUNetTrainerSVLDRL.svl_drl, actions="uniform")
