"""ω after the meta steps against unrolled ones, and the step itself by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale.dale import hypergradient
from nnunetv2_dale.dale.confidence_step import LabelConfidence, confidence_step
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.feature_tap import FeatureTap
from nnunetv2_dale.dale.gradient_average import GradientAverage
from nnunetv2_dale.dale.hypergradient import FuzzyPass, NonFuzzyPass
from nnunetv2_dale.dale.label_confidence import LookAhead, Reuse, confidence_learner
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.shadow_network import ShadowNetwork
from tests.dale.bilevel_problem import SHORT, STEP_SIZE, Problem


@pytest.fixture
def short_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypergradient, "SHIFT_FLOAT32", SHORT)


def look_ahead(problem: Problem, config: DaleConfig, loss_scale: Tensor | None = None) -> LabelConfidence:
    see = FeatureTap(problem.network, problem.network, None)
    average = GradientAverage(0.0)
    learner = LookAhead(config, see, problem.shadow, problem.weights, lambda: STEP_SIZE, lambda: loss_scale, average)
    return learner(problem.fuzzy, problem.non_fuzzy)[0]


def reuse(problem: Problem, v: list[Tensor], config: DaleConfig) -> LabelConfidence:
    for weight, gradient in zip(problem.weights, v, strict=True):
        weight.grad = gradient
    learner = Reuse(config, problem.shadow, problem.weights, lambda: STEP_SIZE, GradientAverage(0.0))
    return learner(problem.fuzzy, problem.non_fuzzy)[0]


@pytest.mark.usefixtures("short_step")
@pytest.mark.parametrize("steps", [1, 2])
def test_confidence_after_k_steps_is_that_of_k_unrolled_ones(steps):
    problem = Problem()
    expected = problem.ones
    for _ in range(steps):
        expected = confidence_step(expected, problem.unrolled(expected), 0.1)
    found = look_ahead(problem, DaleConfig(confidence_steps=steps))
    assert_close(found.omega, expected, rtol=1e-6, atol=1e-9)
    assert not found.non_finite
    assert (found.omega != 1).any()


@pytest.mark.usefixtures("short_step")
def test_reuse_mode_is_the_product_of_both_gradients_differentiated():
    """−η ∂/∂ω ⟨∂L_f(ω)/∂θ, v⟩ with v from elsewhere, by double backward."""
    problem = Problem()
    v = [torch.randn_like(parameter) for parameter in problem.weights]
    omega = problem.ones.clone().requires_grad_()
    loss = problem.fuzzy_loss(problem.network(problem.fuzzy_images), omega)
    gradients = torch.autograd.grad(loss, problem.weights, create_graph=True, allow_unused=True, materialize_grads=True)
    product = sum((g * each).sum() for g, each in zip(gradients, v, strict=True))
    expected = confidence_step(problem.ones, torch.autograd.grad(-STEP_SIZE * product, omega)[0], 0.1)
    found = reuse(problem, v, DaleConfig())
    assert_close(found.omega, expected, rtol=1e-6, atol=1e-9)


def test_the_pseudo_step_leaves_the_network_and_its_graph_as_they_were():
    problem = Problem()
    before = [parameter.detach().clone() for parameter in problem.weights]
    look_ahead(problem, DaleConfig())
    assert_close([parameter.detach() for parameter in problem.weights], before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in problem.weights)
    problem.fuzzy_loss(problem.fuzzy.outputs, problem.ones).backward()
    assert problem.weights[0].grad.abs().sum() > 0


def test_a_meta_step_evaluates_the_fuzzy_loss_twice():
    """At θ_n, with the pseudo-step's backward, and at the shifted weights; counted, so that no clock is needed."""
    problem, calls = Problem(), []

    def counted(outputs, weights):
        calls.append(weights)
        return problem.fuzzy_loss(outputs, weights)

    problem.fuzzy = replace(problem.fuzzy, loss=counted)
    for meta_steps in (1, 2):
        calls.clear()
        look_ahead(problem, DaleConfig(confidence_steps=meta_steps))
        assert len(calls) == 2 * meta_steps


def test_loss_scale_cancels():
    plain, scaled = (
        look_ahead(p, DaleConfig(), scale).omega
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
    learner = LookAhead(
        DaleConfig(),
        FeatureTap(network, network, None),
        ShadowNetwork(network),
        [layer.weight],
        lambda: STEP_SIZE,
        lambda: None,
        GradientAverage(0.0),
    )
    fuzzy = FuzzyPass(images, network(images), lambda z, w: loss(z, mixed, None, w))
    found, _, _ = learner(fuzzy, NonFuzzyPass(images, lambda z: loss(z, clear)))
    assert_close(found.omega.flatten() > 1, torch.tensor([True, False]))
    assert_close((found.omega >= 1).flatten(), torch.tensor([True, False]))


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


@pytest.mark.parametrize(("value", "non_finite"), [(float("nan"), True), (float("inf"), True), (0.0, False)])
def test_a_gradient_that_is_0_or_not_finite_leaves_every_label_trusted(value, non_finite):
    problem = Problem()
    found = reuse(problem, [torch.full_like(parameter, value) for parameter in problem.weights], DaleConfig())
    assert bool(found.non_finite) == non_finite
    assert_close(found.omega, problem.ones)
    assert (found.omega >= 1).all()


@pytest.mark.parametrize(
    ("settings", "gradients"),
    [
        ({"confidence_steps": 1}, 1),
        ({"confidence_steps": 3}, 3),
        ({"confidence_steps": 3, "confidence_gradient": "reuse"}, 1),
    ],
)
def test_an_iteration_leaves_the_same_of_the_average_however_many_meta_steps_it_makes(settings, gradients):
    problem = Problem()
    optimizer = torch.optim.SGD(problem.network.parameters(), lr=0.1)
    config = DaleConfig(confidence_memory=0.9).updated(settings)
    see = FeatureTap(problem.network, problem.network, None)
    learner = confidence_learner(config, see, problem.shadow, problem.weights, None, optimizer, lambda: None)
    before = learner.average([torch.tensor([4.0])])[0].item()
    for _ in range(gradients):
        after = learner.average([torch.tensor([0.0])])[0].item()
    assert after == pytest.approx(0.9 * before)
