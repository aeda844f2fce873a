"""Trainers that DALE is compared with and that nnU-Net does not bring."""

from __future__ import annotations

from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import nn

from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.rivals.generalised_cross_entropy import (
    GeneralisedMaskedLoss,
    SigmoidGeneralisedCrossEntropy,
    SoftmaxGeneralisedCrossEntropy,
)
from nnunetv2_dale.trainer.safe_training import SafeTraining


class nnUNetTrainerGCE(SafeTraining):
    """Plain nnU-Net with generalised cross-entropy (q = 0.7) in place of cross-entropy, beside its Dice loss."""

    def _masked_loss(self) -> MaskedLoss:
        return GeneralisedMaskedLoss(**vars(super()._masked_loss()))

    def _build_loss(self) -> nn.Module:
        loss: nn.Module = super()._build_loss()
        compound = loss.loss if isinstance(loss, DeepSupervisionWrapper) else loss
        if isinstance(compound, DC_and_BCE_loss):
            compound.ce = SigmoidGeneralisedCrossEntropy(compound.ce.reduction)
        else:
            compound.ce = SoftmaxGeneralisedCrossEntropy(self.label_manager.ignore_label)
        return loss
