"""L_W over a training: what it remembers, its bound and share, and half precision (the rest: test_alternating_step)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from nnunetv2_dale.dale.alignment import MOST_VOXELS, Alignment, FeatureAlignment
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.feature_alignment import class_gaussians, pooled
from nnunetv2_dale.dale.masked_loss import MaskedLoss

EVERYWHERE = torch.ones(1, 1, 16, 16, dtype=torch.bool)
LABELS = (torch.arange(256).view(1, 1, 16, 16) % 2).to(torch.int16)


class OneHead(nn.Module):
    """Features come in, a head of nnU-Net's name makes logits of them."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Module()
        self.decoder.seg_layers = nn.ModuleList([nn.Conv2d(4, 2, 1)])

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.decoder.seg_layers[-1](features)
        return logits


def alignment_of(
    network: nn.Module, loss_scale: Callable[[], Tensor | None] = lambda: None, **settings: float
) -> FeatureAlignment:
    config = DaleConfig(covariance_noise=0.0, **settings)
    head = network.decoder.seg_layers[-1] if config.uses_features else None
    return FeatureAlignment(MaskedLoss(), 2, config, head, loss_scale=loss_scale)


def aligned(
    alignment: FeatureAlignment, network: nn.Module, features: Tensor, per_voxel: float, half: bool = False
) -> Alignment:
    """Features of a non-fuzzy view seen before, then a fuzzy view's loss with a gradient of that size in a voxel."""
    alignment.remember((features.detach() * 0.5 - 1).float(), LABELS, EVERYWHERE)
    fuzzy = features.requires_grad_()
    logits = network(fuzzy.float())
    logits = logits.half() if half else logits
    return alignment(fuzzy, LABELS, EVERYWHERE, per_voxel * logits.float().square().sum(), logits)


def test_the_share_is_the_ratio_of_both_gradients_at_the_features() -> None:
    torch.manual_seed(0)
    network, features = OneHead(), torch.randn(1, 4, 16, 16)
    found = aligned(alignment_of(network), network, features, 1e-3)
    (pulls,) = torch.autograd.grad(found.distance, features, retain_graph=True)
    (trains,) = torch.autograd.grad(1e-3 * network(features).square().sum(), features)
    assert_close(found.share, 0.05 * pulls.norm() / trains.norm())
    assert_close(found.weight, torch.tensor(0.05))
    bounded = aligned(alignment_of(network, alignment_bound=0.25), network, features.detach(), 1e-3)
    assert_close(bounded.share, torch.tensor(0.25))
    assert_close(bounded.weight, torch.tensor(0.05) * 0.25 / found.share)


def test_half_precision_finds_the_share_of_single_precision() -> None:
    """The gradient of a voxel, 1e-8, is 0 in half precision but for the loss scale."""
    torch.manual_seed(0)
    network, features = OneHead(), torch.randn(1, 4, 16, 16).half()
    exact = aligned(alignment_of(network, alignment_bound=0.25), network, features.float(), 1e-8)
    scaled = alignment_of(network, lambda: torch.tensor(2.0**16), alignment_bound=0.25)
    found = aligned(scaled, network, features, 1e-8, half=True)
    assert_close(found.weight, exact.weight, rtol=0.01, atol=0)
    assert_close(found.share, exact.share, rtol=0.01, atol=0)


@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_what_is_remembered(memory: float) -> None:
    network = OneHead()
    alignment = alignment_of(network, alignment_memory=memory)
    batches = [torch.randn(1, 4, 16, 16) + shift for shift in range(3)]
    expected = None
    for features in batches:
        alignment.remember(features, LABELS, EVERYWHERE)
        now = class_gaussians(features, LABELS, EVERYWHERE, 2, MOST_VOXELS)
        expected = now if expected is None or memory == 0 else pooled(expected, now, memory)
    assert alignment.reference is not None
    assert_close(alignment.reference.mean, expected.mean)
    assert_close(alignment.reference.covariance, expected.covariance)
    alignment.forget()
    assert alignment.reference is None


def test_without_a_non_fuzzy_view_seen_before_there_is_nothing_to_align_with() -> None:
    network = OneHead()
    alignment, features = alignment_of(network), torch.randn(1, 4, 16, 16, requires_grad=True)
    logits = network(features)
    found = alignment(features, LABELS, EVERYWHERE, logits.sum(), logits)
    assert found.distance == found.weight == found.share == 0


def test_switched_off_it_remembers_nothing() -> None:
    """Features are there all the same, where the meta step is on the head alone."""
    alignment = alignment_of(OneHead(), alignment_weight=0.0)
    alignment.remember(torch.randn(1, 4, 16, 16), LABELS, EVERYWHERE)
    assert alignment.reference is None
