"""A training iteration of one update on the whole batch, its labels weighted by the trust of their case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs


@dataclass(frozen=True)
class WeightedRecord:
    """What happened in one iteration; scalars on the device."""

    loss: Tensor
    trust_mean: Tensor  # of the labels' weights; 1 while no case is doubted
    trust_std: Tensor


@dataclass
class WeightedStep:
    """Plain training but for the weights: without groups of cases it is plain training.

    Args:
        network: `network(images)` gives logits, or a sequence of them under deep supervision.
        optimizer: of its parameters.
        loss: in the form of the targets.
        trust: remembers the cases.
        update: makes an optimizer update from a loss, gradients cleared before.
        autocast: makes the context of the network's forward passes.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: MaskedLoss
    trust: CaseTrust
    update: Callable[[Tensor], None]
    autocast: Callable[[], AbstractContextManager[object]]

    def __call__(self, images: Tensor, targets: Outputs, cases: Sequence[str] | None) -> WeightedRecord:
        """Make one update.

        Args:
            images: (B, C, *S), finite.
            targets: the target of each output of the network, full resolution first.
            cases: the name of each sample's case, (B,).
        """
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            outputs = self.network(images)
        trust = self.trust.observe_and_weigh(images, outputs, targets, cases)
        loss = self.loss(outputs, targets, None, trust)
        self.update(loss)
        if trust is None:
            return WeightedRecord(loss.detach(), loss.new_ones(()), loss.new_zeros(()))
        return WeightedRecord(loss.detach(), trust.mean(), trust.std(correction=0))
