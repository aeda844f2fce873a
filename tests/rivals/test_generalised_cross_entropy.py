"""Generalised cross-entropy: its limits, by hand, and its places in nnU-Net's losses."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.rivals.generalised_cross_entropy import (
    GeneralisedMaskedLoss,
    SigmoidGeneralisedCrossEntropy,
    SoftmaxGeneralisedCrossEntropy,
    generalised_cross_entropy,
)
from nnunetv2_dale.rivals.voxel_losses import voxel_cross_entropy


def test_by_hand():
    found = generalised_cross_entropy(torch.tensor([1.0, 0.25, 0.0]), 0.5)
    assert_close(found, torch.tensor([0.0, 1.0, 2.0]), atol=1e-6, rtol=0)


def test_small_exponents_are_cross_entropy_and_one_is_the_absolute_error():
    probability = torch.linspace(0.01, 1, 50, dtype=torch.float64)
    assert_close(generalised_cross_entropy(probability, 1e-9), -probability.log(), atol=1e-6, rtol=1e-6)
    assert_close(generalised_cross_entropy(probability, 1.0), 1 - probability)


def test_its_gradient_is_cross_entropys_times_p_to_the_q():
    logits = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([[[0, 1, 2, 1, 0]], [[2, 2, 1, 0, 0]]])
    (found,) = torch.autograd.grad(SoftmaxGeneralisedCrossEntropy()(logits.float(), labels), logits)
    of_label = logits.detach().softmax(1).gather(1, labels)
    one_hot = functional.one_hot(labels[:, 0], 3).movedim(-1, 1)
    expected = of_label**0.7 * (logits.detach().softmax(1) - one_hot) / labels.numel()
    assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_ignored_voxels_do_not_count_and_a_batch_of_them_is_zero():
    logits = torch.tensor([[[0.0, 5.0], [0.0, 0.0]]])
    loss = SoftmaxGeneralisedCrossEntropy(ignore_label=2)
    assert_close(loss(logits, torch.tensor([[[1, 2]]])), generalised_cross_entropy(torch.tensor(0.5)))
    assert loss(logits, torch.tensor([[[2, 2]]])) == 0


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_regions(reduction):
    logits, target = torch.tensor([[[0.0, math.log(3)]]]), torch.tensor([[[1.0, 0.0]]])
    expected = generalised_cross_entropy(torch.tensor([[[0.5, 0.25]]]))
    assert_close(
        SigmoidGeneralisedCrossEntropy(reduction)(logits, target), expected if reduction == "none" else expected.mean()
    )


def test_an_impossible_label_has_a_finite_gradient():
    logits = torch.tensor([[[200.0], [-200.0]]], requires_grad=True)
    SoftmaxGeneralisedCrossEntropy()(logits, torch.tensor([[[1]]])).backward()
    assert torch.isfinite(logits.grad).all()


def test_exponents_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"in \(0, 1\], got 0"):
        generalised_cross_entropy(torch.ones(1), 0)


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("regions", [False, True])
def test_with_weights_of_1_it_is_the_loss_that_nnunet_is_given(regions: bool, ignore: bool):
    logits, weight = torch.randn(2, 3, 4, 5), torch.ones(2, 1, 4, 5)
    if regions:
        target = torch.rand(2, 3 + ignore, 4, 5) > 0.5
        each = SigmoidGeneralisedCrossEntropy("none")(logits, target[:, :3].float())
        expected = (each * ~target[:, 3:]).sum() / (~target[:, 3:]).sum() if ignore else each.mean()
    else:
        target = torch.randint(3 + ignore, (2, 1, 4, 5))
        expected = SoftmaxGeneralisedCrossEntropy(3 if ignore else None)(logits, target)
    settings = (regions, 3 if ignore and not regions else None, regions and ignore)
    dice = MaskedLoss(*settings)(logits, target) - cross_entropy_of(logits, target, MaskedLoss(*settings))
    assert_close(GeneralisedMaskedLoss(*settings)(logits, target, None, weight), expected + dice)


def cross_entropy_of(logits, target, loss):
    """The part of nnU-Net's loss that is not Dice."""
    losses = voxel_cross_entropy(logits, target, loss)
    if not loss.regions:
        valid = loss.valid(target)
        return losses.mean() if valid is None else losses.sum() / valid.sum()
    valid = loss.valid(target)
    return losses.mean() if valid is None else losses.sum() * 3 / valid.sum()
