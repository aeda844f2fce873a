"""The abstaining Dice segmenter (ADS; Moustafa et al. 2026, arXiv 2601.14039): a class may abstain from an image.

    L = mean over images and classes of (1 − p_c) · Dice loss_c + α(epoch) · |log((1 − η_c) / (1 − p_c))|

p_c is read off the pooled features of the encoder, η_c is how often the labels of class c are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.marginal_loss import class_weight_of, confidence_of, marginal_logits
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, all_resolutions, full_resolution, resized
from nnunetv2_dale.rivals.config import AbstainingDiceConfig
from nnunetv2_dale.rivals.voxel_losses import dice_losses

_CERTAIN = 1 - 1e-6  # p_c is clamped here: log(1 - p) stays finite in float32
_START = 0.1  # p_c of an untrained head
_MEMORY = 0.95  # of the estimated noise rate, per batch


class AbstentionHead(nn.Module):
    """p_c from the coarsest features, averaged over space; and η_c, which it learns in the warm-up."""

    noise_rate: Tensor  # (K,)

    def __init__(self, channels: int, classes: int, noise_rate: float) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, classes)
        nn.init.zeros_(self.layer.weight)
        nn.init.constant_(self.layer.bias, float(torch.logit(torch.tensor(_START))))
        self.register_buffer("noise_rate", torch.full((classes,), noise_rate))

    def forward(self, features: Tensor) -> Tensor:
        """(B, K) probabilities from (B, C, *S) features."""
        pooled = features.flatten(2).mean(dim=2)
        score: Tensor = self.layer(pooled)
        return score.float().sigmoid().clamp_max(_CERTAIN)

    @torch.no_grad()
    def observe(self, hard_dice_losses: Tensor, there: Tensor) -> None:
        """Move η_c towards the mean of a batch's (B, K) losses, over the images in which class c is labelled."""
        known = there.any(dim=0)
        mean = (hard_dice_losses * there).sum(dim=0) / there.sum(dim=0).clamp_min(1)
        moved = _MEMORY * self.noise_rate + (1 - _MEMORY) * mean
        self.noise_rate.copy_(torch.where(known, moved, self.noise_rate).clamp(0, 0.99))


def penalty_of(epoch: int, epochs: int, config: AbstainingDiceConfig) -> float | None:
    """α(epoch) = α_end · ((epoch − warm-up + 1) / (epochs − warm-up))^γ; None in the warm-up.

    A warm-up has at least one epoch, however short the training: η is estimated in it.
    """
    warm_up = max(round(config.warm_up_share * epochs), int(config.warm_up_share > 0))
    if epoch < warm_up:
        return None
    passed: float = (epoch - warm_up + 1) / (epochs - warm_up)
    return config.penalty * math.pow(passed, config.penalty_exponent)


def abstention_penalty(abstention: Tensor, noise_rate: Tensor) -> Tensor:
    """|log((1 − η_c) / (1 − p_c))|, (B, K): 0 where a class abstains as often as its labels are wrong."""
    return ((1 - noise_rate) / (1 - abstention)).log().abs()


@dataclass(frozen=True)
class AbstainingRecord:
    """What happened in one iteration; scalars on the device."""

    loss: Tensor
    dice_loss: Tensor  # without abstention
    penalty: Tensor  # α · |…|
    abstention: Tensor  # mean p; 0 in the warm-up
    noise_rate: Tensor  # mean η


@dataclass
class AbstainingDiceStep:
    """Adds the gradients of one batch to the weights; the caller clears them before and steps after.

    Args:
        network: images to the encoder's skips, the coarsest last, and to logits, or a sequence of them under deep
            supervision.
        head: p and η.
        form: reads the targets; its resolutions' weights are used, its loss is not.
        config: the settings.
        backward: adds a loss's gradient.
        autocast: makes the context of the forward passes.
    """

    network: Callable[[Tensor], tuple[Sequence[Tensor], Outputs]]
    head: AbstentionHead
    form: MaskedLoss
    config: AbstainingDiceConfig
    backward: Callable[[Tensor], None] = torch.Tensor.backward
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    penalty: float | None = None  # α; None is the warm-up

    def __call__(self, images: Tensor, targets: Outputs) -> AbstainingRecord:
        """Run one forward and backward.

        Args:
            images: (B, C, *S), finite.
            targets: the target of each output, full resolution first. Of `KnownTargets` a class has no part in the loss
                of an image in which it is not annotated.
        """
        with self.autocast():
            skips, outputs = self.network(images)
        class_weight, confidence = class_weight_of(targets), confidence_of(targets)
        form = self.form
        outputs = [marginal_logits(each.float(), class_weight, form.regions) for each in all_resolutions(outputs)]
        dice = form.over_resolutions(
            lambda z, y: dice_losses(self._probabilities(z), y, form, resized(confidence, z)), outputs, targets
        )
        if self.penalty is None:
            if self.config.noise_rate_is == "estimated":
                self._observe(outputs[0], full_resolution(targets))
            loss, penalty = _mean(dice, class_weight), torch.zeros_like(dice)
            abstention = torch.zeros_like(dice)
        else:
            with self.autocast():
                abstention = self.head(skips[-1])
            penalty = self.penalty * abstention_penalty(abstention, self.head.noise_rate)
            loss = _mean((1 - abstention) * dice + penalty, class_weight)
        self.backward(loss)
        parts = (loss, dice.mean(), penalty.mean(), abstention.mean(), self.head.noise_rate.mean())
        return AbstainingRecord(*(part.detach() for part in parts))

    def _probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.form.regions else logits.softmax(dim=1)

    @torch.no_grad()
    def _observe(self, logits: Tensor, target: Tensor) -> None:
        """What the network and the labels disagree in, for η."""
        if self.form.regions:
            said = (logits > 0).float()
        else:
            said = torch.zeros_like(logits, dtype=torch.float32).scatter_(1, logits.argmax(1, keepdim=True), 1)
        labels, valid = self.form.labels(target), self.form.valid(target)
        given = labels > 0.5 if self.form.regions else torch.zeros_like(said).scatter_(1, labels.long(), 1) > 0
        there = (given if valid is None else given & valid).flatten(2).any(dim=2)
        self.head.observe(dice_losses(said, target, self.form), there)


def _mean(values: Tensor, class_weight: Tensor | None) -> Tensor:
    """Of (B, K) values, those that count with their weight."""
    if class_weight is None:
        return values.mean()
    return (values * class_weight).sum() / (class_weight > 0).sum().clamp_min(1)
