"""The meta gradient against double backward through an unrolled pseudo-step."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.testing import assert_close

from nnunetv2_dale.dale import hypergradient
from nnunetv2_dale.dale.hypergradient import (
    FuzzyPass,
    confidence_derivative,
    derivative_along,
    head_tangents,
    look_ahead_gradient,
    loss_by_omega,
)
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.random_draws import draws_from_here
from nnunetv2_dale.dale.shadow_network import ShadowNetwork
from tests.dale.bilevel_problem import SHORT, STEP_SIZE, Problem


@pytest.mark.parametrize(("dimensions", "residual"), list(itertools.product((2, 3), (False, True))))
def test_meta_gradient_is_that_of_double_backward(dimensions, residual, monkeypatch):
    monkeypatch.setattr(hypergradient, "SHIFT_FLOAT32", SHORT)
    problem = Problem(dimensions, residual)
    for weights in (problem.ones, torch.rand_like(problem.ones) + 0.5):
        expected = problem.unrolled(weights)
        error = (problem.gradient(weights) - expected).norm() / expected.norm()
        assert error < 1e-6
        assert expected.abs().max() > 0


def test_in_single_precision_it_points_where_double_backward_does():
    problem = Problem(dtype=torch.float32)
    exact, approximate = problem.unrolled(problem.ones), problem.gradient(problem.ones)
    assert cosine_similarity(exact.flatten(), approximate.flatten(), dim=0) > 0.999


def test_dropout_is_the_same_in_the_forwards_that_are_compared():
    """Against a network in which the same draws are written into the weights' place: fixed factors, no dropout."""

    class Dropping(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = torch.nn.Conv2d(1, 6, 3, padding=1), torch.nn.Conv2d(6, 2, 1)
            self.factors: Tensor | None = None

        def forward(self, images: Tensor) -> Tensor:
            features = self.first(images).tanh()
            factors = torch.nn.functional.dropout2d(torch.ones_like(features)) if self.factors is None else self.factors
            return self.last(features * factors)

    torch.manual_seed(0)
    network, images = Dropping().double(), torch.rand(2, 1, 8, 8, dtype=torch.float64)
    labels, loss = (images > 0.5).short(), MaskedLoss(batch_dice=True)
    weights, direction = list(network.parameters()), [torch.rand_like(w) for w in network.parameters()]
    same_draws = draws_from_here(images.device)
    outputs = network(images)
    fuzzy = FuzzyPass(images, outputs, lambda z, w: loss(z, labels, None, w), same_draws=same_draws)
    ones = torch.ones(2, 1, 8, 8, dtype=torch.float64)
    found = confidence_derivative(ShadowNetwork(network), weights, fuzzy, direction)(ones, None)
    with same_draws():
        network.factors = torch.nn.functional.dropout2d(torch.ones(2, 6, 8, 8, dtype=torch.float64))
    assert 0 < (network.factors == 0).double().mean() < 1
    expected = confidence_derivative(ShadowNetwork(network), weights, fuzzy, direction)(ones, None)
    assert_close(found, expected)


@pytest.mark.parametrize("loss_scale", [None, torch.tensor(65536.0)])
def test_the_backward_of_the_pseudo_step_has_the_derivative_by_confidence_too(loss_scale):
    p = Problem(dtype=torch.float32)
    weights = torch.rand_like(p.ones) + 0.5
    _, found = look_ahead_gradient(p.shadow, p.weights, p.fuzzy, p.non_fuzzy, weights, STEP_SIZE, loss_scale)
    assert_close(found, loss_by_omega(p.fuzzy, p.fuzzy.outputs, weights))
    assert found.abs().max() > 0


def head_pass(problem: Problem) -> tuple[torch.nn.Module, FuzzyPass]:
    """The head of a problem's network, and its fuzzy pass with the features that enter it."""
    head: torch.nn.Module = problem.network.decoder.seg_layers[-1]
    kept: list[torch.Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    outputs = problem.network(problem.fuzzy_images)
    handle.remove()
    return head, FuzzyPass(problem.fuzzy_images, outputs, problem.fuzzy_loss, features=kept[0])


@pytest.mark.parametrize(("dimensions", "residual"), list(itertools.product((2, 3), (False, True))))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_heads_derivative_is_that_of_double_backward_through_its_weights(dimensions, residual, dtype):
    """⟨∂L_f(ω)/∂θ_head, v⟩ differentiated with respect to ω, through the network: cosine 1, exact in float64."""
    problem = Problem(dimensions, residual, dtype)
    head, fuzzy = head_pass(problem)
    weights, v = list(head.parameters()), [torch.randn_like(weight) for weight in head.parameters()]
    for given in (problem.ones, torch.rand_like(problem.ones) + 0.5):
        omega = given.clone().requires_grad_()
        loss = problem.fuzzy_loss(problem.network(problem.fuzzy_images), omega)
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        product = sum((g * each).sum() for g, each in zip(gradients, v, strict=True))
        (expected,) = torch.autograd.grad(product, omega)
        found = derivative_along(fuzzy, given, head_tangents(head, fuzzy, v))
        assert cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.999
        if dtype == torch.float64:
            assert_close(found, expected, rtol=1e-9, atol=1e-15)


def test_a_head_that_is_no_convolution_is_named():
    head = torch.nn.Linear(4, 3)
    _, fuzzy = head_pass(Problem())
    with pytest.raises(ValueError, match='expects a convolution as segmentation head, got Linear; use "reuse"'):
        head_tangents(head, fuzzy, [torch.ones(3, 4), torch.ones(3)])
