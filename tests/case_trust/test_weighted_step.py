"""One update per batch: plain training without groups, and a loop written out with them."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.case_trust.weighted_step import WeightedStep
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from tests.dale.networks import blob_batch, small_unet
from tests.dale.plain_iteration import soft_loss

CASES = ["a", "b"]


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    return [blob_batch(seed=seed) for seed in range(count)]


def optimizer_of(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)


def step_on(network: nn.Module, trust: CaseTrust) -> WeightedStep:
    optimizer = optimizer_of(network)

    def update(loss: Tensor) -> None:
        loss.backward()
        optimizer.step()

    return WeightedStep(network, optimizer, MaskedLoss(), trust, update, nullcontext)


def assert_same_weights(ours: nn.Module, expected: nn.Module) -> None:
    for (name, weight), other in zip(ours.named_parameters(), expected.parameters(), strict=True):
        assert_close(weight, other, atol=2e-6, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def trained_by_hand(network: nn.Module, distrust: Tensor | None) -> nn.Module:
    """Weighted cross-entropy and per-sample Dice of an explicit one-hot label.

    Args:
        distrust: (B, 3) of `CASES`, constant over the batches.
    """
    optimizer = optimizer_of(network)
    for images, labels in batches(3):
        logits = network(images)
        weight = torch.ones_like(logits[:, :1])
        if distrust is not None:
            p, one_hot = logits.softmax(1), torch.stack([labels[:, 0] == k for k in range(3)], dim=1)
            right = torch.where(one_hot, p, 1 - p).detach()
            for sample in range(2):
                for k in range(3):
                    doubt = float(distrust[sample, k])
                    inside = one_hot[sample, k] == (doubt > 0)
                    each = 1 - abs(doubt) * (1 - right[sample, k] ** 2)
                    weight[sample, 0] = torch.where(inside, torch.minimum(weight[sample, 0], each), weight[sample, 0])
        loss = soft_loss(logits, labels, torch.ones_like(weight), weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def test_without_groups_it_is_plain_training() -> None:
    ours = small_unet(deep_supervision=False)
    expected = trained_by_hand(copy.deepcopy(ours), None)
    step = step_on(ours, CaseTrust(MaskedLoss(), CaseTrustConfig(), batches=3))
    for images, labels in batches(3):
        record = step(images, labels, CASES)
        assert (record.trust_mean, record.trust_std) == (1, 0)
    assert_same_weights(ours, expected)
    assert set(step.trust.displacement.state()) == set(CASES)  # remembered all the same


class Doubting(CaseTrust):
    """With groups that are found from the first batch on."""

    def __init__(self, distrust: Tensor) -> None:
        super().__init__(MaskedLoss(), CaseTrustConfig(), batches=3)
        both_sides = [distrust.clamp_min(0), (-distrust).clamp_min(0)]
        self.displacement._doubted = torch.stack([*both_sides, *[0 * distrust] * 2], dim=1)
        self.displacement._doubted_rows = {case: row for row, case in enumerate(CASES)}


def test_with_groups_the_labels_are_weighted() -> None:
    distrust = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.8, -0.5]])
    ours = small_unet(deep_supervision=False)
    expected = trained_by_hand(copy.deepcopy(ours), distrust)
    step = step_on(ours, Doubting(distrust))
    for images, labels in batches(3):
        record = step(images, labels, CASES)
        assert record.trust_mean < 1
        assert record.trust_std > 0
    assert_same_weights(ours, expected)


def test_the_network_runs_once_forward_and_once_backward() -> None:
    network = small_unet(deep_supervision=False)
    passes: list[str] = []
    network.register_forward_hook(lambda *_: passes.append("forward"))
    network.decoder.seg_layers[-1].register_full_backward_hook(lambda *_: passes.append("backward"))
    step = step_on(network, Doubting(torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])))
    for images, labels in batches(2):
        step(images, labels, CASES)
    assert passes == ["forward", "backward"] * 2
