"""BECO's co-training (Rong et al., CVPR 2023): two networks, each taught by the other where labels are not trusted.

    L_i = L(z_i, y; m) + mean (1 − m) · CE(z_i, argmax z_j),    i, j = 1, 2 and 2, 1

m is 1 where a label is confident. The authors take m from the confidence of their pseudo-labels, which is low at
boundaries; here it is where the image is not fuzzy. Their copy-and-paste of boundaries is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dale.dale.marginal_loss import confidence_of, without_confidence
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution, resized
from nnunetv2_dale.rivals.config import CoTrainingConfig
from nnunetv2_dale.rivals.non_fuzzy import non_fuzzy


@dataclass(frozen=True)
class CoTrainingRecord:
    """What happened in one iteration; scalars on the device."""

    loss: Tensor  # of the first network, which predicts; with the cross labels
    second_loss: Tensor
    cross_loss: Tensor  # of it, the first network's from the other's labels
    confident_share: Tensor  # mean m
    agreement: Tensor  # part of the voxels where both networks say the same


@dataclass
class CoTrainingStep:
    """Adds the gradients of one batch to both networks' weights; the caller clears them before and steps after.

    Args:
        first, second: images to logits, or a sequence of them under deep supervision.
        loss: L, which voxels are weighted in.
        config: the settings.
        spacing_mm: voxel spacing, for the depth of 3D patches.
        image_channels: leading channels of the input that are image; None is all.
        backward: adds a loss's gradient.
        autocast: makes the context of the forward passes.
    """

    first: Callable[[Tensor], Outputs]
    second: Callable[[Tensor], Outputs]
    loss: MaskedLoss
    config: CoTrainingConfig
    spacing_mm: Sequence[float] | None = None
    image_channels: int | None = None
    backward: Callable[[Tensor], None] = torch.Tensor.backward
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    trust_all: bool = False  # m = 1, in the warm-up

    def __call__(self, images: Tensor, targets: Outputs) -> CoTrainingRecord:
        """Both networks on the whole batch; one backward for both.

        Args:
            images: (B, C, *S), finite.
            targets: the target of each output, full resolution first.
        """
        confident = self._confident(images, full_resolution(targets))
        if (given := confidence_of(targets)) is not None:
            confident, targets = confident * given, without_confidence(targets)
        with self.autocast():
            outputs = self.first(images), self.second(images)
        supervised = [self.loss(each, targets, None, confident) for each in outputs]
        rest = 1 - confident
        cross = [
            self.config.cross_weight * self._cross(own, other, targets, rest) for own, other in (outputs, outputs[::-1])
        ]
        first, second = (given + taught for given, taught in zip(supervised, cross, strict=True))
        self.backward(first + second)
        agreement = self._said(full_resolution(outputs[0])) == self._said(full_resolution(outputs[1]))
        return CoTrainingRecord(
            first.detach(), second.detach(), cross[0].detach(), confident.mean(), agreement.float().mean()
        )

    def _confident(self, images: Tensor, target: Tensor) -> Tensor:
        """m, (B, 1, *S)."""
        if self.trust_all:
            return torch.ones_like(images[:, :1])
        return non_fuzzy(images, target, self.loss, self.config, self.spacing_mm, self.image_channels)

    def _cross(self, own: Outputs, other: Outputs, targets: Outputs, rest: Tensor) -> Tensor:
        """Σ over the resolutions of mean (1 − m) · CE(z_i, argmax z_j), each with its weight."""
        return self.loss.over_resolutions(lambda a, b, target: self._cross_at(a, b, target, rest), own, other, targets)

    def _cross_at(self, own: Tensor, other: Tensor, target: Tensor, rest: Tensor) -> Tensor:
        said = self._said(other)
        if self.loss.regions:
            each = functional.binary_cross_entropy_with_logits(own.float(), said.float(), reduction="none")
            losses = each.mean(dim=1, keepdim=True)
        else:
            losses = functional.cross_entropy(own.float(), said[:, 0], reduction="none")[:, None]
        losses, valid = losses * resized(rest, own), self.loss.valid(target)
        return losses.mean() if valid is None else (losses * valid).sum() / valid.sum().clamp_min(1)

    def _said(self, logits: Tensor) -> Tensor:
        """Return the labels a network gives: (B, 1, *S) classes, or (B, R, *S) regions."""
        return logits.detach() > 0 if self.loss.regions else logits.detach().argmax(dim=1, keepdim=True)
