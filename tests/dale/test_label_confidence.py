"""The meta gradient against double backward through an unrolled pseudo-step."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.testing import assert_close

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.label_confidence import (
    FuzzyPass,
    NonFuzzyPass,
    ShadowNetwork,
    confidence_derivative,
    confidence_step,
    learn_confidence,
    logits_tangent,
    look_ahead_gradient,
    loss_by_confidence,
)
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from tests.dale.networks import blob_batch, small_unet

STEP_SIZE = 0.05
EXACT = DaleConfig(directional_derivative="forward_mode")


class Problem:
    """A float64 nnU-Net network with deep supervision and the two views of a batch."""

    def __init__(self, dimensions: int = 2, residual: bool = False, dtype: torch.dtype = torch.float64) -> None:
        self.network = small_unet(dimensions, residual=residual).to(dtype)
        self.parameters = list(self.network.parameters())
        images, target = blob_batch(dimensions, size=16)
        coarse = target[(..., *[slice(None, None, 2)] * dimensions)]
        self.targets = [target, coarse]
        self.loss = MaskedLoss(scale_weights=(2 / 3, 1 / 3), batch_dice=True)
        self.mask = torch.rand(2, 1, *images.shape[2:]).to(dtype)
        self.fuzzy_images = images.to(dtype) * self.mask
        self.clear_images = images.to(dtype) * (1 - self.mask)
        self.fuzzy = FuzzyPass(self.fuzzy_images, self.network(self.fuzzy_images), self.fuzzy_loss)
        self.non_fuzzy = NonFuzzyPass(self.clear_images, self.clear_loss)
        self.shadow = ShadowNetwork(self.network)
        self.ones = torch.ones_like(self.mask)

    def fuzzy_loss(self, outputs: list[Tensor], weights: Tensor) -> Tensor:
        return self.loss(outputs, self.targets, self.mask, weights)

    def clear_loss(self, outputs: list[Tensor]) -> Tensor:
        return self.loss(outputs, self.targets, 1 - self.mask)

    def unrolled(self, weights: Tensor) -> Tensor:
        """∂L_n(θ − η ∂L_f(ω)/∂θ)/∂ω by double backward through the network."""
        omega = weights.clone().requires_grad_()
        pseudo = torch.autograd.grad(
            self.fuzzy_loss(self.network(self.fuzzy_images), omega),
            self.parameters,
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        names = [name for name, _ in self.network.named_parameters()]
        moved = {n: p - STEP_SIZE * g for n, p, g in zip(names, self.parameters, pseudo, strict=True)}
        outputs = torch.func.functional_call(self.network, moved, (self.clear_images,), tie_weights=False)
        return torch.autograd.grad(self.clear_loss(outputs), omega)[0]

    def gradient(self, weights: Tensor, config: DaleConfig) -> Tensor:
        v, known = look_ahead_gradient(self.shadow, self.parameters, self.fuzzy, self.non_fuzzy, weights, STEP_SIZE)
        return -STEP_SIZE * confidence_derivative(self.shadow, self.parameters, self.fuzzy, v, config)(weights, known)


@pytest.mark.parametrize(("dimensions", "residual"), list(itertools.product((2, 3), (False, True))))
def test_meta_gradient_is_that_of_double_backward(dimensions, residual):
    problem = Problem(dimensions, residual)
    for weights in (problem.ones, torch.rand_like(problem.ones) + 0.5):
        expected = problem.unrolled(weights)
        error = (problem.gradient(weights, EXACT) - expected).norm() / expected.norm()
        assert error < 1e-6
        assert expected.abs().max() > 0


@pytest.mark.parametrize("steps", [1, 2])
def test_confidence_after_k_steps_is_that_of_k_unrolled_ones(steps):
    problem = Problem()
    expected = problem.ones
    for _ in range(steps):
        expected = confidence_step(expected, problem.unrolled(expected), 0.1)
    config = EXACT.updated({"confidence_steps": steps})
    found = learn_confidence(problem.shadow, problem.parameters, problem.fuzzy, problem.non_fuzzy, STEP_SIZE, config)
    assert_close(found.weights, expected, rtol=1e-6, atol=1e-9)
    assert not found.non_finite
    assert (found.weights != 1).any()


def test_reuse_mode_is_the_product_of_both_gradients_differentiated():
    """−η ∂/∂ω ⟨∂L_f(ω)/∂θ, v⟩ with v from elsewhere, by double backward."""
    problem = Problem()
    v = [torch.randn_like(parameter) for parameter in problem.parameters]
    omega = problem.ones.clone().requires_grad_()
    loss = problem.fuzzy_loss(problem.network(problem.fuzzy_images), omega)
    gradients = torch.autograd.grad(
        loss, problem.parameters, create_graph=True, allow_unused=True, materialize_grads=True
    )
    product = sum((g * each).sum() for g, each in zip(gradients, v, strict=True))
    expected = confidence_step(problem.ones, torch.autograd.grad(-STEP_SIZE * product, omega)[0], 0.1)
    found = learn_confidence(
        problem.shadow, problem.parameters, problem.fuzzy, problem.non_fuzzy, STEP_SIZE, EXACT, line5_gradient=v
    )
    assert_close(found.weights, expected, rtol=1e-6, atol=1e-9)


def test_one_sided_difference_points_where_forward_mode_does():
    problem = Problem(dtype=torch.float32)
    exact, approximate = (problem.gradient(problem.ones, config) for config in (EXACT, DaleConfig()))
    assert cosine_similarity(exact.flatten(), approximate.flatten(), dim=0) > 0.999


def test_the_pseudo_step_leaves_the_network_and_its_graph_as_they_were():
    problem = Problem()
    before = [parameter.detach().clone() for parameter in problem.parameters]
    learn_confidence(problem.shadow, problem.parameters, problem.fuzzy, problem.non_fuzzy, STEP_SIZE, DaleConfig())
    assert_close([parameter.detach() for parameter in problem.parameters], before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in problem.parameters)
    problem.fuzzy_loss(problem.fuzzy.outputs, problem.ones).backward()
    assert problem.parameters[0].grad.abs().sum() > 0


@pytest.mark.parametrize("loss_scale", [None, torch.tensor(65536.0)])
def test_the_backward_of_the_pseudo_step_has_the_derivative_by_confidence_too(loss_scale):
    p = Problem(dtype=torch.float32)
    weights = torch.rand_like(p.ones) + 0.5
    _, found = look_ahead_gradient(p.shadow, p.parameters, p.fuzzy, p.non_fuzzy, weights, STEP_SIZE, loss_scale)
    assert_close(found, loss_by_confidence(p.fuzzy, p.fuzzy.outputs, weights))
    assert found.abs().max() > 0


def test_a_meta_step_evaluates_the_fuzzy_loss_twice():
    """At θ_n, with the pseudo-step's backward, and at the shifted weights; counted, so that no clock is needed."""
    problem, calls = Problem(), []

    def counted(outputs, weights):
        calls.append(weights)
        return problem.fuzzy_loss(outputs, weights)

    fuzzy = replace(problem.fuzzy, loss=counted)
    for meta_steps in (1, 2):
        calls.clear()
        config = DaleConfig(confidence_steps=meta_steps)
        learn_confidence(problem.shadow, problem.parameters, fuzzy, problem.non_fuzzy, STEP_SIZE, config)
        assert len(calls) == 2 * meta_steps


def test_loss_scale_cancels():
    plain, scaled = (
        learn_confidence(p.shadow, p.parameters, p.fuzzy, p.non_fuzzy, STEP_SIZE, EXACT, loss_scale=scale).weights
        for p, scale in zip([Problem()] * 2, (None, torch.tensor(65536.0)), strict=True)
    )
    assert_close(plain, scaled)


def test_a_label_that_agrees_with_the_clear_view_gains_and_its_opposite_loses():
    """A network of one weight, logits (0, θ·x): the clear view wants θ to rise, so does label 1 at x > 0."""
    layer = torch.nn.Conv2d(1, 1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 0.3)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([torch.zeros_like(images), self.layer(images)], dim=1)

    network, images = Network(), torch.ones(1, 1, 1, 2)
    mixed, clear = torch.tensor([1, 0]).view(1, 1, 1, 2), torch.tensor([1, 1]).view(1, 1, 1, 2)
    loss = MaskedLoss()
    found = learn_confidence(
        ShadowNetwork(network),
        [layer.weight],
        FuzzyPass(images, network(images), lambda z, w: loss(z, mixed, None, w)),
        NonFuzzyPass(images, lambda z: loss(z, clear)),
        STEP_SIZE,
        DaleConfig(),
    )
    assert_close(found.weights.flatten() > 1, torch.tensor([True, False]))
    assert_close(found.clean.flatten(), torch.tensor([True, False]))


def test_step_is_scale_free_bounded_and_never_negative():
    gradient = torch.randn(2, 1, 8, 8)
    ones = torch.ones_like(gradient)
    assert_close(confidence_step(ones, gradient, 0.1), confidence_step(ones, gradient * 1e-30, 0.1))
    moved = confidence_step(ones, gradient, 0.1) - 1
    assert moved.abs().max() <= 0.1 + 1e-6
    assert_close(moved.sign(), -gradient.sign())
    assert confidence_step(ones, gradient, 10.0).min() == 0


def test_step_by_hand_and_per_image():
    gradient = torch.tensor([[3.0, -4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).view(2, 1, 1, 4)
    expected = torch.tensor([[0.9, 1.1, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]).view(2, 1, 1, 4)  # rms 2.5 and 0
    assert_close(confidence_step(torch.ones(2, 1, 1, 4), gradient, 0.1), expected)
    small = confidence_step(torch.ones(1, 1, 1, 2), torch.tensor([1.0, -7.0]).view(1, 1, 1, 2), 0.1)
    assert_close(small.flatten(), torch.tensor([1 - 0.1 / 5, 1.1]))  # rms 5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_gradients_leave_every_label_trusted(bad):
    problem = Problem()
    v = [torch.full_like(parameter, bad) for parameter in problem.parameters]
    found = learn_confidence(
        problem.shadow, problem.parameters, problem.fuzzy, problem.non_fuzzy, STEP_SIZE, DaleConfig(), line5_gradient=v
    )
    assert found.non_finite
    assert_close(found.weights, problem.ones)
    assert found.clean.all()


def test_zero_gradient_is_finite_and_changes_nothing():
    problem = Problem()
    v = [torch.zeros_like(parameter) for parameter in problem.parameters]
    found = learn_confidence(
        problem.shadow, problem.parameters, problem.fuzzy, problem.non_fuzzy, STEP_SIZE, DaleConfig(), line5_gradient=v
    )
    assert not found.non_finite
    assert_close(found.weights, problem.ones)


def test_shadow_keeps_frozen_weights_and_follows_buffers():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    network[0].weight.requires_grad_(False)
    shadow = ShadowNetwork(network)
    assert len(shadow.parameters) == 3
    network[1].running_mean.fill_(5)
    trained = [p for p in network.parameters() if p.requires_grad]
    shadow.place(trained, [torch.ones_like(p) for p in trained], 2.0)
    assert_close(shadow.module[1].running_mean, torch.full((2,), 5.0))
    assert_close(shadow.module[1].weight, network[1].weight + 2)
    assert_close(shadow.module[0].weight, network[0].weight)


def test_a_layer_without_forward_mode_is_named():
    class Detached(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, images: Tensor) -> Tensor:
            return images * self.weight.detach().clone().requires_grad_(False).numpy().item()

    network = Detached()
    with pytest.raises(RuntimeError, match="Detached gave no forward-mode derivative"):
        logits_tangent(ShadowNetwork(network), [network.weight], torch.ones(1, 1, 2, 2), [torch.ones(1)])
