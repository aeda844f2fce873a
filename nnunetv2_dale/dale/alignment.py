"""L_W over the course of a training: what it compares, what it remembers, how far it may pull (Eqs. 12–15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.feature_alignment import ClassGaussians, alignment_loss, class_gaussians, pooled
from nnunetv2_dale.dale.marginal_loss import exact
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution

FEWEST_VOXELS = 16  # of a class on either side; with fewer it is left out: a covariance needs voxels
MOST_VOXELS = 1024  # drawn per class and side: enough for a covariance of the features of a head, and next to no time


@dataclass(frozen=True)
class Alignment:
    """L_W of one batch."""

    distance: Tensor  # L_W, differentiable in the features of the fuzzy view
    weight: Tensor  # α, lowered where the bound asks for it
    share: Tensor  # the norm of weight · ∂L_W over that of the segmentation's gradient, both at the features


class FeatureAlignment:
    """Compares the features of the two views, class by class.

    Args:
        loss, num_classes, config, generator, loss_scale: of `AlternatingStep`.
        head: the segmentation head; needed where features are aligned.
    """

    def __init__(
        self,
        loss: MaskedLoss,
        num_classes: int,
        config: DaleConfig,
        head: nn.Module | None = None,
        generator: torch.Generator | None = None,
        loss_scale: Callable[[], Tensor | None] = lambda: None,
    ) -> None:
        self._loss, self._num_classes, self._config, self._head = loss, num_classes, config, head
        self._loss_scale, self.generator = loss_scale, generator
        self.on = config.alignment_weight > 0
        self.forget()

    def forget(self) -> None:
        """Start the average of the non-fuzzy Gaussians anew with the next batch."""
        self.reference: ClassGaussians | None = None

    @torch.no_grad()
    def remember(self, features: Tensor | None, target: Tensor, selected: Tensor) -> None:
        """Take the Gaussians of the non-fuzzy view's features F_n, detached (line 5).

        Args:
            features: (B, F, *S).
            target: of the full resolution.
            selected: (B, 1, *S) bool.
        """
        if features is None or not self.on:
            return
        memory, gaussians = self._config.alignment_memory, self._gaussians(features, target, selected)
        if self.reference is not None and memory > 0:
            gaussians = pooled(self.reference, gaussians, memory)
        self.reference = gaussians

    def __call__(
        self, features: Tensor | None, target: Tensor, selected: Tensor, fuzzy_loss: Tensor, outputs: Outputs
    ) -> Alignment:
        """L_W between the Gaussians of F_f and those seen last (lines 11–12), and its weight in the update.

        Args:
            features: F_f, with their graph.
            selected: (B, 1, *S) bool: fuzzy voxels whose label is clean.
            fuzzy_loss: L of the fuzzy view, with its graph.
            outputs: logits of the fuzzy view.
        """
        zero = fuzzy_loss.new_zeros(())
        if features is None or self.reference is None:
            return Alignment(zero, zero, zero)
        config = self._config
        distance = alignment_loss(
            self.reference,
            self._gaussians(features, target, selected),
            FEWEST_VOXELS,
            config.covariance_noise,
            config.alignment_scale == "relative",
            self.generator,
        )
        ratio = self._gradient_ratio(distance, features, fuzzy_loss, full_resolution(outputs))
        share, bound = config.alignment_weight * ratio, config.alignment_bound
        bounded = torch.where(share > bound, bound / share, 1.0)
        return Alignment(distance, config.alignment_weight * bounded, share.clamp_max(bound))

    def _gradient_ratio(self, distance: Tensor, features: Tensor, fuzzy_loss: Tensor, logits: Tensor) -> Tensor:
        """‖∂L_W/∂F‖ / ‖∂L/∂F‖, the second through the head alone: the part of the loss at full resolution."""
        assert self._head is not None
        scale = self._loss_scale()
        if scale is not None:  # half precision has no number as small as the gradient of one voxel among millions
            distance, fuzzy_loss = distance * scale, fuzzy_loss * scale
        (by_alignment,) = torch.autograd.grad(distance, features, retain_graph=True)
        (by_logits,) = torch.autograd.grad(fuzzy_loss, logits, retain_graph=True)
        leaf = exact(features.detach()).requires_grad_()
        with torch.enable_grad():
            again: Callable[[Tensor], Tensor] = self._head.forward  # without the hook that keeps the features
            (by_segmentation,) = torch.autograd.grad(again(leaf), leaf, by_logits.to(leaf.dtype))
        return _norm(by_alignment) / _norm(by_segmentation).clamp_min(torch.finfo(torch.float32).tiny)

    def _gaussians(self, features: Tensor, target: Tensor, selected: Tensor) -> ClassGaussians:
        """Gaussians of the features in the selected voxels (Eq. 12)."""
        return class_gaussians(
            features,
            self._loss.labels(target),
            selected,
            self._num_classes,
            MOST_VOXELS,
            self._loss.regions,
            self.generator,
        )


def _norm(gradient: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(exact(gradient))
    return norm
