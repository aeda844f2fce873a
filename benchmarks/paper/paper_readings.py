"""Algorithm 1 written out a second time, with the readings that the paper leaves open as switches. Benchmark only.

With the default `Reading` it makes the updates of `AlternatingStep`, by another way: ∂L_n/∂ω comes from double backward
through the pseudo-step. `tests/benchmarks/test_paper_study.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from nnunetv2_dale import DaleConfig, MaskedLoss
from nnunetv2_dale.dale.alignment import FEWEST_VOXELS, MOST_VOXELS
from nnunetv2_dale.dale.confidence_step import confidence_step
from nnunetv2_dale.dale.feature_alignment import ClassGaussians, alignment_loss, class_gaussians
from nnunetv2_dale.dale.feature_tap import FeatureTap
from nnunetv2_dale.dale.fuzziness import fuzziness_map, patch_shape
from nnunetv2_dale.dale.views import fuzzy_mask, non_fuzzy_mask

_ADAM_LR, _ADAM_EPS = 0.1, 1e-8  # of the released file


@dataclass(frozen=True)
class Reading:
    """Where the paper's text, its equations and the released file differ; the defaults are the printed method here.

    Under masked loss labels stay whole and the masks weigh both losses, whatever `label` and `fuzzy_weight` say.
    """

    label: Literal["own", "other", "whole"] = "own"  # Eq. 7: the mask of the label is the view's, the other's, none
    fuzzy_weight: bool = False  # M^f weighs the fuzzy loss as well
    confidence: Literal["scale_free", "adam"] = "scale_free"  # Eq. 11
    clean: Literal["rose", "fell", "all"] = "rose"  # Eq. 12: clean is a voxel whose ω did not fall, whose ω fell, any
    alignment_gradient: bool = True  # Eq. 14: False detaches both sides
    normalised: bool = False  # features of length 1 per voxel


class ReadingStep:
    """One iteration of Algorithm 1 on a network without buffers (batch normalisation), aligned before its head."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: MaskedLoss,
        num_classes: int,
        config: DaleConfig,
        reading: Reading,
        head: nn.Module,
        generator: torch.Generator | None = None,
    ) -> None:
        if any(True for _ in network.buffers()):
            raise ValueError(f"expected a network without buffers, {type(network).__name__} has some")
        self.network, self.optimizer, self.loss, self.num_classes = network, optimizer, loss, num_classes
        self.config, self.reading, self.generator = config, reading, generator
        self._see = FeatureTap(network, network, head)

    def __call__(self, images: Tensor, target: Tensor) -> None:
        """Train on a batch: images (B, C, *S), label maps (B, 1, *S)."""
        config, reading = self.config, self.reading
        patch = patch_shape(images.shape[2:], config.patch_size)
        m = fuzziness_map(images, target, patch, config.entropy_bins, None, config.fuzziness_source).combined
        fuzzy, clear = fuzzy_mask(m, config.fuzzy_threshold), non_fuzzy_mask(m, config.fuzzy_threshold)
        label_masks = {"own": (fuzzy, clear), "other": (clear, fuzzy), "whole": (None, None)}[reading.label]
        of_fuzzy, of_clear = (None if mask is None else mask.clamp_min(0) for mask in label_masks)
        fuzzy_images, clear_images = images * fuzzy, images * clear
        weight = fuzzy if reading.fuzzy_weight else torch.ones_like(fuzzy)
        clear_weight = None
        if config.view == "masked_loss":  # images and labels stay whole, the masks weigh the loss
            of_fuzzy = of_clear = None
            fuzzy_images = clear_images = images
            weight, clear_weight = fuzzy, clear.clamp_min(0)
        is_fuzzy = m >= config.fuzzy_threshold

        self.optimizer.zero_grad(set_to_none=True)
        outputs, features = self._see(clear_images)
        reference = self._gaussians(features, target, ~is_fuzzy).detach()
        self.loss(outputs, target, of_clear, clear_weight).backward()
        self.optimizer.step()

        outputs, features = self._see(fuzzy_images)
        omega = torch.ones_like(weight)
        if config.confidence_steps:

            def fuzzy_loss(omega: Tensor) -> Tensor:
                return self.loss(outputs, target, of_fuzzy, weight * omega)

            def clear_loss(logits: Tensor) -> Tensor:
                return self.loss(logits, target, of_clear, clear_weight)

            gradient = self._meta_gradient(fuzzy_loss, omega, clear_images, clear_loss)
            omega = self._step(omega, gradient)
        rose = omega >= 1
        clean = {"rose": rose, "fell": ~rose, "all": torch.ones_like(rose)}[reading.clean]
        total = self.loss(outputs, target, of_fuzzy, weight * omega)
        if config.alignment_weight:
            distance = alignment_loss(
                reference,
                self._gaussians(features, target, is_fuzzy & clean),
                FEWEST_VOXELS,
                config.covariance_noise,
                generator=self.generator,
            )
            distance = distance if reading.alignment_gradient else distance.detach()
            total = total + config.alignment_weight * omega.mean() * distance
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()

    def _meta_gradient(
        self,
        fuzzy_loss: Callable[[Tensor], Tensor],
        omega: Tensor,
        clear_images: Tensor,
        clear_loss: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """∂L_n/∂ω at θ_p = θ_n − η ∂L_f(ω)/∂θ (Eqs. 8–10), by double backward."""
        weights = dict(self.network.named_parameters())
        leaf = omega.clone().requires_grad_()
        pseudo = torch.autograd.grad(fuzzy_loss(leaf), list(weights.values()), create_graph=True)
        step_size = self.optimizer.param_groups[0]["lr"]
        moved = {name: w - step_size * g for (name, w), g in zip(weights.items(), pseudo, strict=True)}
        outputs = functional_call(self.network, moved, (clear_images,), tie_weights=False)
        (gradient,) = torch.autograd.grad(clear_loss(outputs), leaf, retain_graph=True)
        return gradient

    def _step(self, omega: Tensor, gradient: Tensor) -> Tensor:
        """ω after one step (Eq. 11); Adam's first one is lr · g / (|g| + ε)."""
        if self.reading.confidence == "scale_free":
            return confidence_step(omega, gradient, self.config.confidence_lr)
        return (omega - _ADAM_LR * gradient / (gradient.abs() + _ADAM_EPS)).clamp_min(0)

    def _gaussians(self, features: Tensor | None, target: Tensor, selected: Tensor) -> ClassGaussians:
        """Gaussians of the features per class (Eq. 12)."""
        assert features is not None
        if self.reading.normalised:
            features = functional.normalize(features, dim=1)
        return class_gaussians(features, target, selected, self.num_classes, MOST_VOXELS, generator=self.generator)
