"""Meta-Weight-Net: the meta step against double backward, and what it learns."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from nnunetv2_dale.dale import hypergradient
from nnunetv2_dale.dale.hypergradient import (
    SHIFT_FLOAT32,
    FuzzyPass,
    NonFuzzyPass,
    confidence_derivative,
    look_ahead_gradient,
)
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.shadow_network import ShadowNetwork
from nnunetv2_dale.rivals import meta_weight_net
from nnunetv2_dale.rivals.meta_weight_net import MetaBatch, MetaWeightStep, VirtualStep, WeightNet

STEP_SIZE = 0.1


def tiny_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 1)).double()


def of_dale(network: nn.Module) -> Callable[[VirtualStep], Tensor]:
    """As the trainer makes it."""
    shadow, weights = ShadowNetwork(network), list(network.parameters())

    def by_weights(virtual: VirtualStep) -> Tensor:
        step = FuzzyPass(virtual.images, virtual.outputs, virtual.loss)
        judge = NonFuzzyPass(virtual.meta.images, virtual.meta.loss)
        direction, start = look_ahead_gradient(shadow, weights, step, judge, virtual.weights, STEP_SIZE)
        return -STEP_SIZE * confidence_derivative(shadow, weights, step, direction)(virtual.weights, start)

    return by_weights


@pytest.mark.parametrize(("shift", "tolerance"), [(1e-7, 1e-5), (SHIFT_FLOAT32, 0.01)])
@pytest.mark.parametrize("ignore", [None, 3])
def test_the_meta_step_is_that_of_double_backward(ignore: int | None, shift: float, tolerance, monkeypatch) -> None:
    monkeypatch.setattr(hypergradient, "SHIFT_FLOAT32", shift)
    network, weight_net, loss = tiny_network(), WeightNet(10).double(), MaskedLoss(ignore_label=ignore)
    images, target = torch.randn(2, 1, 6, 7, dtype=torch.float64), torch.randint(4 if ignore else 3, (2, 1, 6, 7))
    meta_images, meta_target = torch.randn(2, 1, 6, 7, dtype=torch.float64), torch.randint(3, (2, 1, 6, 7))

    # Eqs. 2 to 4 as printed, through the graph of the virtual step
    names = [name for name, _ in network.named_parameters()]
    outputs = network(images)
    log_probability = outputs.log_softmax(1)
    labels = torch.where(target == ignore, 0, target) if ignore else target
    losses = -log_probability.gather(1, labels) * (target != ignore if ignore else 1)
    weights = weight_net(losses.detach().float().double())
    gradient = torch.autograd.grad(loss(outputs, target, None, weights), list(network.parameters()), create_graph=True)
    virtual = {
        name: weight - STEP_SIZE * change
        for name, weight, change in zip(names, network.parameters(), gradient, strict=True)
    }
    meta_loss = loss(torch.func.functional_call(network, virtual, (meta_images,)), meta_target)
    expected = torch.autograd.grad(meta_loss, list(weight_net.parameters()))

    stepped: list[list[Tensor]] = []

    def meta_step() -> None:
        stepped.append([weight.grad.clone() for weight in weight_net.parameters() if weight.grad is not None])

    step = MetaWeightStep(network, InDouble(weight_net), loss, of_dale(network), meta_step)
    step(images, target, MetaBatch(meta_images, lambda z: loss(z, meta_target)))
    for found, wanted in zip(stepped[0], expected, strict=True):
        assert_close(found, wanted, rtol=tolerance, atol=1e-9)


class InDouble(WeightNet):
    """V in double precision, which its losses are not."""

    def __init__(self, inner: WeightNet) -> None:
        nn.Module.__init__(self)
        self.layers = inner.layers

    def forward(self, losses: Tensor) -> Tensor:
        return super().forward(losses.double())


def test_the_real_step_uses_the_new_weights() -> None:
    """Eq. 5: the network's gradient is that of L weighted by V after the meta step."""
    network, weight_net, loss = tiny_network().float(), WeightNet(8), MaskedLoss()
    images, target = torch.randn(2, 1, 6, 6), torch.randint(3, (2, 1, 6, 6))

    def meta_step() -> None:
        with torch.no_grad():
            for weight in weight_net.parameters():
                weight.add_(torch.randn_like(weight))

    step = MetaWeightStep(network, weight_net, loss, lambda virtual: torch.zeros_like(virtual.weights), meta_step)
    record = step(images, target, MetaBatch(images, lambda z: loss(z, target)))
    found = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    network.zero_grad()
    outputs = network(images)
    losses = functional.cross_entropy(outputs, target[:, 0], reduction="none")[:, None]
    expected = loss(outputs, target, None, weight_net(losses.detach()).detach())
    expected.backward()
    assert_close(record.loss, expected.detach())
    for gradient, weight in zip(found, network.parameters(), strict=True):
        assert_close(gradient, weight.grad)


@pytest.mark.parametrize("also_the_losses", [False, True])
def test_a_gradient_that_is_not_finite_teaches_nothing_and_is_counted(also_the_losses: bool) -> None:
    network, weight_net, loss = tiny_network().float(), WeightNet(8), MaskedLoss()
    images, target = torch.randn(1, 1, 4, 4), torch.randint(3, (1, 1, 4, 4))
    if also_the_losses:
        network[2].bias.data[0] = float("inf")
    step = MetaWeightStep(
        network, weight_net, loss, lambda virtual: torch.full_like(virtual.weights, float("inf")), lambda: None
    )
    record = step(images, target, MetaBatch(images, lambda z: loss(z, target)))
    assert record.non_finite == 1
    assert all(weight.grad is not None and not weight.grad.any() for weight in weight_net.parameters())


def test_in_parts_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weight_net, losses, factor = WeightNet(16), torch.rand(2, 1, 9, 9), torch.randn(2, 1, 9, 9)
    whole = copy.deepcopy(weight_net)
    whole(losses).backward(factor)
    monkeypatch.setattr(meta_weight_net, "_VOXELS_AT_ONCE", 50)
    assert_close(weight_net.weigh(losses), whole(losses).detach())
    weight_net.add_gradient(losses, factor)
    for found, expected in zip(weight_net.parameters(), whole.parameters(), strict=True):
        assert_close(found.grad, expected.grad)


def test_with_a_clean_meta_set_wrong_labels_lose_weight() -> None:
    """A third of the labels are wrong; a network that has learned the right ones gives those a high loss."""
    torch.manual_seed(0)
    network, weight_net, loss = tiny_network().float(), WeightNet(20), MaskedLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=STEP_SIZE, momentum=0.9)
    meta = torch.optim.Adam(weight_net.parameters(), lr=0.005)

    def batch(noise: float) -> tuple[Tensor, Tensor, Tensor]:
        images = torch.randn(4, 1, 12, 12)
        clean = (images > 0.5).long() + (images > -0.5).long()
        wrong = torch.rand(clean.shape) < noise
        return images, torch.where(wrong, (clean + 1) % 3, clean), wrong

    def meta_step() -> None:
        meta.step()
        meta.zero_grad()

    step = MetaWeightStep(network, weight_net, loss, of_dale(network), meta_step)
    for iteration in range(260):
        meta_images, meta_target, _ = batch(0.0)
        optimizer.zero_grad()
        if iteration < 200:  # learned first
            loss(network(meta_images), meta_target).backward()
            optimizer.step()
            continue
        images, target, _ = batch(0.33)
        step(images, target, MetaBatch(meta_images, lambda z, y=meta_target: loss(z, y)))
        optimizer.step()
    images, target, wrong = batch(0.33)
    losses = functional.cross_entropy(network(images), target[:, 0], reduction="none")[:, None]
    weights = weight_net.weigh(losses.detach())
    assert weights[wrong].mean() < 0.8 * weights[~wrong].mean()
