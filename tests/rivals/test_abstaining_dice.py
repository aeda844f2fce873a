"""ADS: its equation written out, α over the epochs, the estimated noise rate, and a class that learns to abstain."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.rivals.abstaining_dice import AbstainingDiceStep, AbstentionHead, abstention_penalty, penalty_of
from nnunetv2_dale.rivals.config import AbstainingDiceConfig
from nnunetv2_dale.rivals.voxel_losses import dice_losses

GIVEN = replace(AbstainingDiceConfig(), noise_rate_is="given", noise_rate=0.3)


def made_step(config: AbstainingDiceConfig, form: MaskedLoss) -> tuple[AbstainingDiceStep, nn.Module, AbstentionHead]:
    encoder, decoder = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 3, 1)
    head = AbstentionHead(4, 3, config.noise_rate if config.noise_rate_is == "given" else 0.0)
    nn.init.normal_(head.layer.weight)
    network = nn.Sequential(encoder, decoder)

    def with_skips(images: Tensor) -> tuple[list[Tensor], Tensor]:
        features = encoder(images)
        return [features], decoder(features)

    return AbstainingDiceStep(with_skips, head, form, config), network, head


@pytest.mark.parametrize("ignore", [False, True])
def test_loss_and_gradients_are_those_of_the_equation(ignore: bool) -> None:
    form = MaskedLoss(ignore_label=3 if ignore else None)
    step, network, head = made_step(GIVEN, form)
    step.penalty = 1.7
    images, target = torch.randn(2, 1, 6, 6), torch.randint(4 if ignore else 3, (2, 1, 6, 6))
    record = step(images, target)
    features = network[0](images)
    probabilities = network[1](features).softmax(1)
    expected = torch.zeros(())
    for sample in range(2):
        pooled = features[sample].mean(dim=(1, 2))
        for c in range(3):
            p = torch.sigmoid(head.layer.weight[c] @ pooled + head.layer.bias[c])
            counted = target[sample, 0] != 3 if ignore else torch.ones(6, 6, dtype=torch.bool)
            f, g = probabilities[sample, c][counted], (target[sample, 0] == c)[counted]
            dice = (2 * f[g].sum() + 1e-5) / (f.sum() + g.sum() + 1e-5)
            expected = expected + (1 - p) * (1 - dice) + 1.7 * abs(math.log(0.7) - torch.log(1 - p))
    expected = expected / 6
    weights = [*network.parameters(), *head.layer.parameters()]
    assert_close(record.loss, expected.detach())
    for weight, gradient in zip(weights, torch.autograd.grad(expected, weights), strict=True):
        assert_close(weight.grad, gradient, rtol=1e-4, atol=1e-6)


def test_no_penalty_for_abstaining_as_often_as_labels_are_wrong() -> None:
    penalty = abstention_penalty(torch.tensor([[0.3, 0.0, 0.65]]), torch.tensor([0.3, 0.5, 0.3]))
    assert_close(penalty, torch.tensor([[0.0, math.log(2), math.log(2)]]))


def test_alpha_by_hand() -> None:
    """4 epochs of warm-up in 20, then 4 · (k / 16)^1.5."""
    values = [penalty_of(epoch, 20, AbstainingDiceConfig()) for epoch in range(20)]
    assert values[:4] == [None] * 4
    assert values[4] == pytest.approx(4 * (1 / 16) ** 1.5)
    assert values[7] == pytest.approx(0.5)
    assert values[19] == pytest.approx(4.0)


def test_the_noise_rate_is_estimated_in_an_epoch_at_least() -> None:
    """A fifth of two epochs rounds to none; then η would be 0 as if it had been found so."""
    assert [penalty_of(epoch, 2, AbstainingDiceConfig()) for epoch in range(2)] == [None, pytest.approx(4.0)]
    without = replace(GIVEN, warm_up_share=0.0)
    assert [penalty_of(epoch, 2, without) for epoch in range(2)] == [pytest.approx(4 * 0.5**1.5), pytest.approx(4.0)]
    with pytest.raises(ValueError, match="needs a warm-up to estimate it in, got warm_up_share 0"):
        replace(AbstainingDiceConfig(), warm_up_share=0.0)


def test_the_warm_up_is_dice_alone_and_estimates_the_noise_rate() -> None:
    config = AbstainingDiceConfig()
    step, network, head = made_step(config, MaskedLoss())
    images, target = torch.randn(2, 1, 6, 6), torch.randint(2, (2, 1, 6, 6))  # class 2 is never labelled
    head.noise_rate.fill_(0.5)
    record = step(images, target)
    assert_close(record.loss, dice_losses(network(images).softmax(1), target, MaskedLoss()).mean().detach())
    assert record.abstention == 0
    assert all(weight.grad is None for weight in head.parameters())
    said = network(images).argmax(1, keepdim=True)
    for c in (0, 1):
        hard = [
            1 - 2 * ((s == c) & (t == c)).sum() / ((s == c).sum() + (t == c).sum())
            for s, t in zip(said, target, strict=True)
        ]
        assert head.noise_rate[c].item() == pytest.approx(0.95 * 0.5 + 0.05 * float(sum(hard)) / 2, abs=1e-4)
    assert head.noise_rate[2] == 0.5


def test_a_given_noise_rate_stays() -> None:
    step, _, head = made_step(GIVEN, MaskedLoss())
    step(torch.randn(2, 1, 6, 6), torch.randint(3, (2, 1, 6, 6)))
    assert_close(head.noise_rate, torch.full((3,), 0.3))


def test_at_first_every_class_abstains_a_little() -> None:
    assert_close(AbstentionHead(8, 3, 0.0)(torch.randn(2, 8, 4, 4, 4)), torch.full((2, 3), 0.1))


def test_a_class_whose_labels_are_noise_abstains_more_than_one_that_is_learned() -> None:
    """Class 2 is put at random on what is class 1 by the image; the penalty wants 0.2 of both."""
    torch.manual_seed(0)
    config = replace(GIVEN, noise_rate=0.2)
    step, network, head = made_step(config, MaskedLoss())
    nn.init.zeros_(head.layer.weight)
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=0.02)
    step.penalty = 0.5
    for _ in range(200):
        images = torch.randn(8, 1, 8, 8)
        target = torch.where(images > 0, 1, 0)
        target[torch.rand(target.shape) < 0.05] = 2
        optimizer.zero_grad()
        record = step(images, target)
        optimizer.step()
    assert record.loss < 0.4
    abstention: Tensor = head(network[0](images)).mean(0)
    assert abstention[2] > abstention[0] + 0.1
    assert abstention[2] > abstention[1] + 0.1


def test_a_class_has_no_part_in_an_image_in_which_it_is_not_annotated() -> None:
    """Of six terms one is left out, three weigh a half; the voxels are weighted by c."""
    step, network, head = made_step(GIVEN, MaskedLoss())
    step.penalty = 2.0
    images, target, c = torch.randn(2, 1, 6, 6), torch.randint(3, (2, 1, 6, 6)), torch.rand(2, 1, 6, 6)
    weights = torch.tensor([[1.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
    record = step(images, KnownTargets.of([target], c, weights, regions=False))
    p = network(images).softmax(1)
    of_background = p[:1, :2].sum(1, keepdim=True)
    q = torch.cat([torch.cat([of_background, torch.zeros_like(of_background), p[:1, 2:]], 1), p[1:]])
    y = functional.one_hot(torch.cat([target[:1] * (target[:1] != 1), target[1:]])[:, 0], 3).movedim(-1, 1)
    dice = 1 - (2 * (q * y * c).sum((2, 3)) + 1e-5) / ((q * c).sum((2, 3)) + (y * c).sum((2, 3)) + 1e-5)
    abstention = head(network[0](images))
    penalty = 2 * abstention_penalty(abstention, head.noise_rate)
    expected = (((1 - abstention) * dice + penalty) * weights).sum() / 5
    assert_close(record.loss, expected.detach())
