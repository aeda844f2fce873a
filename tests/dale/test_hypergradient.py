"""The meta gradient against double backward through an unrolled pseudo-step."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.testing import assert_close

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.hypergradient import logits_tangent, look_ahead_gradient, loss_by_confidence
from nnunetv2_dale.dale.shadow_network import ShadowNetwork
from tests.dale.bilevel_problem import EXACT, STEP_SIZE, Problem


@pytest.mark.parametrize(("dimensions", "residual"), list(itertools.product((2, 3), (False, True))))
def test_meta_gradient_is_that_of_double_backward(dimensions, residual):
    problem = Problem(dimensions, residual)
    for weights in (problem.ones, torch.rand_like(problem.ones) + 0.5):
        expected = problem.unrolled(weights)
        error = (problem.gradient(weights, EXACT) - expected).norm() / expected.norm()
        assert error < 1e-6
        assert expected.abs().max() > 0


def test_one_sided_difference_points_where_forward_mode_does():
    problem = Problem(dtype=torch.float32)
    exact, approximate = (problem.gradient(problem.ones, config) for config in (EXACT, DaleConfig()))
    assert cosine_similarity(exact.flatten(), approximate.flatten(), dim=0) > 0.999


@pytest.mark.parametrize("loss_scale", [None, torch.tensor(65536.0)])
def test_the_backward_of_the_pseudo_step_has_the_derivative_by_confidence_too(loss_scale):
    p = Problem(dtype=torch.float32)
    weights = torch.rand_like(p.ones) + 0.5
    _, found = look_ahead_gradient(p.shadow, p.parameters, p.fuzzy, p.non_fuzzy, weights, STEP_SIZE, loss_scale)
    assert_close(found, loss_by_confidence(p.fuzzy, p.fuzzy.outputs, weights))
    assert found.abs().max() > 0


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
