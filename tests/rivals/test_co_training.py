"""BECO's losses against the equation written out, and who teaches whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.rivals.co_training import CoTrainingStep
from nnunetv2_dale.rivals.config import CoTrainingConfig
from nnunetv2_dale.rivals.non_fuzzy import non_fuzzy

CONFIG = replace(CoTrainingConfig(), patch_size=4, fuzzy_threshold=0.6, cross_weight=0.7)


def made_step(loss: MaskedLoss, classes: int = 3) -> tuple[CoTrainingStep, nn.Module, nn.Module]:
    first, second = nn.Conv2d(1, classes, 3, padding=1), nn.Conv2d(1, classes, 3, padding=1)
    return CoTrainingStep(first, second, loss, CONFIG), first, second


def edged_batch() -> tuple[Tensor, Tensor]:
    """One corner of the label map is rough, the rest is smooth: some patches are fuzzy, some are not."""
    images, target = torch.randn(2, 1, 12, 12), torch.zeros(2, 1, 12, 12, dtype=torch.long)
    target[:, :, :5, :5] = torch.randint(3, (2, 1, 5, 5))
    return images, target


@pytest.mark.parametrize("ignore", [False, True])
def test_gradients_are_those_of_the_equation(ignore: bool) -> None:
    images, target = edged_batch()
    if ignore:
        target[:, :, :, 9:] = 3
    loss = MaskedLoss(ignore_label=3 if ignore else None)
    step, first, second = made_step(loss)
    record = step(images, target)
    m = non_fuzzy(images, target, loss, CONFIG)
    assert 0 < m.mean() < 1
    counted = torch.ones_like(m, dtype=torch.bool) if not ignore else target != 3
    for own, other, found in ((first, second, record.loss), (second, first, record.second_loss)):
        logits, said = own(images), other(images).argmax(1)
        cross = functional.cross_entropy(logits, said, reduction="none")[:, None]
        expected = loss(logits, target, None, m) + 0.7 * ((1 - m) * cross)[counted].mean()
        gradients = torch.autograd.grad(expected, list(own.parameters()))
        assert_close(found, expected.detach())
        for weight, gradient in zip(own.parameters(), gradients, strict=True):
            assert_close(weight.grad, gradient)


def test_on_confident_voxels_only_the_labels_teach() -> None:
    """In the warm-up every voxel is confident: the second network has no say, and the loss is nnU-Net's."""
    images, target = edged_batch()
    step, first, _ = made_step(MaskedLoss())
    step.trust_all = True
    record = step(images, target)
    assert record.cross_loss == 0
    assert record.confident_share == 1
    assert_close(record.loss, MaskedLoss()(first(images), target).detach())


def test_where_nothing_is_confident_only_the_other_network_teaches() -> None:
    images, target = edged_batch()
    step, first, second = made_step(MaskedLoss())
    step.config = replace(CONFIG, fuzzy_threshold=0.0, cross_weight=1.0)
    record = step(images, target)
    said = second(images).argmax(1)
    assert record.confident_share == 0
    assert_close(record.cross_loss, functional.cross_entropy(first(images), said).detach())
    assert_close(record.agreement, (first(images).argmax(1) == said).float().mean())


def test_regions_under_deep_supervision() -> None:
    """The coarse resolution is taught by the other network's coarse output, with its weight."""
    loss = MaskedLoss(regions=True, ignore_channel=True, scale_weights=(0.75, 0.25))
    step, first, second = made_step(loss, classes=2)
    step.config = replace(CONFIG, cross_weight=1.0)

    def at_both(network: nn.Module, images: Tensor) -> list[Tensor]:
        return [network(images), functional.avg_pool2d(network(images), 2)]

    step.first, step.second = (lambda x: at_both(first, x)), (lambda x: at_both(second, x))
    images = torch.randn(2, 1, 12, 12)
    target = (torch.rand(2, 3, 12, 12) > 0.7).float()
    targets = [target, target[..., ::2, ::2]]
    record = step(images, targets)
    m = non_fuzzy(images, target, loss, CONFIG)
    expected = torch.zeros(())
    for weight, own, other, given, confident in zip(
        (0.75, 0.25),
        at_both(first, images),
        at_both(second, images),
        targets,
        (m, functional.avg_pool2d(m, 2)),
        strict=True,
    ):
        taught = functional.binary_cross_entropy_with_logits(own, (other > 0).float(), reduction="none").mean(1, True)
        expected = expected + weight * ((1 - confident) * taught)[given[:, -1:] == 0].mean()
    assert_close(record.cross_loss, expected.detach())


def test_a_label_that_is_not_trusted_is_taught_by_the_other_network() -> None:
    """The given confidence c is a factor of m."""
    images, target = edged_batch()
    step, first, second = made_step(MaskedLoss())
    c = torch.rand(2, 1, 12, 12)
    record = step(images, KnownTargets([target], c))
    m = non_fuzzy(images, target, MaskedLoss(), CONFIG) * c
    cross = functional.cross_entropy(first(images), second(images).argmax(1), reduction="none")[:, None]
    expected = MaskedLoss()(first(images), target, None, m) + 0.7 * ((1 - m) * cross).mean()
    assert_close(record.loss, expected.detach())
    assert_close(record.confident_share, m.mean())
