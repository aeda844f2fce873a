"""A small bilevel problem, and its meta gradient by double backward through an unrolled pseudo-step."""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dale.dale.hypergradient import FuzzyPass, NonFuzzyPass, confidence_derivative, look_ahead_gradient
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.shadow_network import ShadowNetwork
from tests.dale.networks import SCALES, small_batch, small_unet

STEP_SIZE = 0.05
SHORT = 1e-9  # of the one-sided step: in float64 the difference is the derivative


class Problem:
    """A float64 nnU-Net network with deep supervision and the two views of a batch."""

    def __init__(self, dimensions: int = 2, residual: bool = False, dtype: torch.dtype = torch.float64) -> None:
        self.network = small_unet(dimensions, residual=residual).to(dtype)
        self.weights = list(self.network.parameters())
        images, self.targets = small_batch(dimensions)
        self.loss = MaskedLoss(scale_weights=SCALES, batch_dice=True)
        self.mask = torch.rand(2, 1, *images.shape[2:]).to(dtype)
        self.fuzzy_images = images.to(dtype) * self.mask
        self.clear_images = images.to(dtype) * (1 - self.mask)
        self.fuzzy = FuzzyPass(self.fuzzy_images, self.network(self.fuzzy_images), self.fuzzy_loss)
        self.non_fuzzy = NonFuzzyPass(self.clear_images, self.clear_loss)
        self.shadow = ShadowNetwork(self.network)
        self.ones = torch.ones_like(self.mask)

    def fuzzy_loss(self, outputs: list[Tensor], omega: Tensor) -> Tensor:
        return self.loss(outputs, self.targets, self.mask, omega)

    def clear_loss(self, outputs: list[Tensor]) -> Tensor:
        return self.loss(outputs, self.targets, 1 - self.mask)

    def unrolled(self, given: Tensor) -> Tensor:
        """∂L_n(θ − η ∂L_f(ω)/∂θ)/∂ω by double backward through the network."""
        omega = given.clone().requires_grad_()
        pseudo = torch.autograd.grad(
            self.fuzzy_loss(self.network(self.fuzzy_images), omega),
            self.weights,
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        names = [name for name, _ in self.network.named_parameters()]
        moved = {n: p - STEP_SIZE * g for n, p, g in zip(names, self.weights, pseudo, strict=True)}
        outputs = torch.func.functional_call(self.network, moved, (self.clear_images,), tie_weights=False)
        return torch.autograd.grad(self.clear_loss(outputs), omega)[0]

    def gradient(self, omega: Tensor) -> Tensor:
        v, known = look_ahead_gradient(self.shadow, self.weights, self.fuzzy, self.non_fuzzy, omega, STEP_SIZE)
        return -STEP_SIZE * confidence_derivative(self.shadow, self.weights, self.fuzzy, v)(omega, known)
