"""The textbook way to do what nnunetv2_dale does: unroll the pseudo-step and differentiate through it twice.

Kept here, outside the library, as what its cost and its gradients are compared with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.alignment import FEWEST_VOXELS, MOST_VOXELS
from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.confidence_step import confidence_step
from nnunetv2_dale.dale.feature_alignment import alignment_loss, class_gaussians
from nnunetv2_dale.dale.masked_loss import Outputs
from nnunetv2_dale.dale.views import weighted_loss


def exact_confidence_gradient(
    network: nn.Module,
    fuzzy_images: Tensor,
    fuzzy_loss: Callable[[Outputs, Tensor], Tensor],
    non_fuzzy_images: Tensor,
    non_fuzzy_loss: Callable[[Outputs], Tensor],
    omega: Tensor,
    step_size: float,
) -> Tensor:
    """∂L_n/∂ω by backward through the pseudo-step of size η (Eqs. 8–11), the shape of ω.

    The network is at θ_n and stays there. The losses are L_f of logits and ω, and L_n of logits.
    """
    leaf = omega.detach().requires_grad_()
    weights = dict(network.named_parameters())
    pseudo = torch.autograd.grad(
        fuzzy_loss(network(fuzzy_images), leaf), list(weights.values()), create_graph=True, materialize_grads=True
    )
    moved = {name: w - step_size * g for (name, w), g in zip(weights.items(), pseudo, strict=True)}
    outputs = torch.func.functional_call(network, moved, (non_fuzzy_images,), tie_weights=False)
    (gradient,) = torch.autograd.grad(non_fuzzy_loss(outputs), leaf)
    return gradient


class TextbookIteration:
    """Algorithm 1 line by line: a deep copy per iteration, double backward, a new forward for every loss.

    The parts and settings are those of an assembled iteration of the library.
    """

    def __init__(self, step: AlternatingStep) -> None:
        self.step = step

    def __call__(self, batch: dict[str, Any]) -> None:
        step, config = self.step, self.step.config
        images, targets = batch["data"], batch["target"]
        target = targets if isinstance(targets, Tensor) else targets[0]
        views = step.partition(images, target)
        fuzzy, non_fuzzy, is_fuzzy = views.fuzzy, views.non_fuzzy, views.is_fuzzy

        outputs, features = step.see(non_fuzzy.images)
        reference = self._gaussians(features, target, ~is_fuzzy)
        step.step(weighted_loss(step.loss, outputs, targets, non_fuzzy))
        del outputs

        omega = torch.ones(images.shape[0], 1, *images.shape[2:], device=images.device)
        for _ in range(config.confidence_steps):
            gradient = exact_confidence_gradient(
                copy.deepcopy(step.module),
                fuzzy.images,
                lambda z, w: weighted_loss(step.loss, z, targets, fuzzy, w),
                non_fuzzy.images,
                lambda z: weighted_loss(step.loss, z, targets, non_fuzzy),
                omega,
                step.optimizer.param_groups[0]["lr"],
            )
            omega = confidence_step(omega, gradient, config.confidence_lr)

        outputs, features = step.see(fuzzy.images)
        moving = self._gaussians(features, target, is_fuzzy & (omega >= 1))
        alignment = alignment_loss(reference, moving, FEWEST_VOXELS, config.covariance_noise, generator=step.generator)
        loss = weighted_loss(step.loss, outputs, targets, fuzzy, omega)
        step.step(loss + config.alignment_weight * omega.mean() * alignment)

    def _gaussians(self, features: Tensor | None, target: Tensor, selected: Tensor) -> Any:
        step = self.step
        assert features is not None
        return class_gaussians(features, target, selected, step.num_classes, MOST_VOXELS, False, step.generator)
