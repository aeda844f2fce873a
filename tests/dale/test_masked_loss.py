"""The masked loss against nnU-Net's own losses (mask and weight 1) and against explicit soft one-hot labels."""

from __future__ import annotations

import itertools

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch.testing import assert_close

from nnunetv2_dale.dale.dice_sums import spatial_sum, sum_per_label
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.resolutions import all_resolutions, full_resolution, resized

SPATIAL = {2: (12, 10), 3: (6, 8, 5)}
BOOLEANS = (False, True)


def nnunet_loss(regions: bool, ignore: bool, batch_dice: bool, scale_weights: tuple[float, ...] | None):
    dice = {"batch_dice": batch_dice, "do_bg": regions, "smooth": 1e-5, "ddp": False}
    if regions:
        loss = DC_and_BCE_loss({}, dice, use_ignore_label=ignore, dice_class=MemoryEfficientSoftDiceLoss)
    else:
        loss = DC_and_CE_loss(dice, {}, ignore_label=3 if ignore else None, dice_class=MemoryEfficientSoftDiceLoss)
    return loss if scale_weights is None else DeepSupervisionWrapper(loss, scale_weights)


def our_loss(regions: bool, ignore: bool, batch_dice: bool, scale_weights: tuple[float, ...] | None) -> MaskedLoss:
    return MaskedLoss(
        regions=regions,
        ignore_label=3 if ignore and not regions else None,
        ignore_channel=ignore and regions,
        batch_dice=batch_dice,
        scale_weights=scale_weights,
    )


def make_target(regions: bool, ignore: bool, shape: tuple[int, ...]) -> torch.Tensor:
    labels = torch.randint(0, 4 if ignore else 3, (2, 1, *shape)).short()
    if not regions:
        return labels
    channels = [(labels == 1) | (labels == 2), labels == 2] + ([labels == 3] if ignore else [])
    return torch.cat(channels, dim=1)


@pytest.mark.parametrize(
    ("dimensions", "regions", "ignore", "batch_dice", "supervised", "ones"),
    list(itertools.product((2, 3), *[BOOLEANS] * 5)),
)
def test_without_masks_it_is_nnunets_loss(dimensions, regions, ignore, batch_dice, supervised, ones):
    full = SPATIAL[dimensions]
    shapes = [full, tuple(-(-size // 2) for size in full), tuple(-(-size // 4) for size in full)]
    shapes = shapes if supervised else shapes[:1]
    targets = [make_target(regions, ignore, shape) for shape in shapes]
    logits = [torch.randn(2, 2 if regions else 3, *shape, requires_grad=True) for shape in shapes]
    weights = (4 / 7, 3 / 7, 0.0) if supervised else None
    outputs, given = (logits, targets) if supervised else (logits[0], targets[0])

    reference = nnunet_loss(regions, ignore, batch_dice, weights)(outputs, given)
    one = torch.ones(2, 1, *full) if ones else None
    found = our_loss(regions, ignore, batch_dice, weights)(outputs, given, one, one)
    assert_close(found, reference)
    gradients = (torch.autograd.grad(loss, logits, allow_unused=True) for loss in (found, reference))
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert_close(ours, theirs)


@pytest.mark.parametrize(("dimensions", "ignore", "batch_dice"), list(itertools.product((2, 3), BOOLEANS, BOOLEANS)))
def test_soft_label_maps_are_an_explicit_soft_one_hot(dimensions, ignore, batch_dice):
    """Probability M for the class and 1 - M for background, weighted cross-entropy and Dice written out."""
    shape = SPATIAL[dimensions]
    target = make_target(False, ignore, shape)
    logits = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    mask, weight = torch.rand(2, 1, *shape).double(), torch.rand(2, 1, *shape).double() * 2
    valid = (target != 3).double()

    hard = torch.stack([target[:, 0] == label for label in range(3)], dim=1).double()
    soft = hard * mask
    soft[:, 0] = hard[:, 0] + (1 - mask[:, 0]) * hard[:, 1:].sum(dim=1)
    cross_entropy = -(soft * logits.log_softmax(1)).sum(dim=1, keepdim=True) * weight * valid
    axes = ([0] if batch_dice else []) + list(range(2, 2 + dimensions))
    p, y, w = logits.softmax(1)[:, 1:], soft[:, 1:], weight * valid
    dice = (2 * (p * y * w).sum(axes) + 1e-5) / ((p * w).sum(axes) + (y * w).sum(axes) + 1e-5)
    expected = cross_entropy.sum() / valid.sum() - dice.mean()

    found = our_loss(False, ignore, batch_dice, None)(logits, target, mask, weight)
    assert_close(found, expected)
    assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (found, expected)))


@pytest.mark.parametrize(("ignore", "batch_dice"), list(itertools.product(BOOLEANS, BOOLEANS)))
def test_soft_regions_are_target_times_mask(ignore, batch_dice):
    shape = SPATIAL[3]
    target = make_target(True, ignore, shape)
    logits = torch.randn(2, 2, *shape, dtype=torch.float64)
    mask, weight = torch.rand(2, 1, *shape).double(), torch.rand(2, 1, *shape).double() * 2
    valid = ~target[:, 2:] if ignore else torch.ones(2, 1, *shape, dtype=torch.bool)
    y, p, w = target[:, :2] * mask, logits.sigmoid(), weight * valid
    bce = -(y * p.log() + (1 - y) * (1 - p).log()) * w
    axes = ([0] if batch_dice else []) + [2, 3, 4]
    dice = (2 * (p * y * w).sum(axes) + 1e-5) / ((p * w).sum(axes) + (y * w).sum(axes) + 1e-5)
    expected = (bce.sum() / valid.sum() if ignore else bce.mean()) - dice.mean()
    assert_close(our_loss(True, ignore, batch_dice, None)(logits, target, mask, weight), expected)


def test_cross_entropy_by_hand():
    """One foreground voxel at p = (1/4, 3/4), trusted to 0.5, weighted 2; one background voxel at p = (1/2, 1/2)."""
    logits = torch.tensor([[1.0, 3.0], [1.0, 1.0]]).log().T.view(1, 2, 1, 2)
    target, half = torch.tensor([1, 0]).view(1, 1, 1, 2), torch.tensor([0.5, 1.0]).view(1, 1, 1, 2)
    weight = torch.tensor([2.0, 1.0]).view(1, 1, 1, 2)
    cross_entropy = (
        2 * (0.5 * torch.tensor(4 / 3).log() + 0.5 * torch.tensor(4.0).log()) + torch.tensor(2.0).log()
    ) / 2
    dice = 2 * (0.75 * 0.5 * 2) / (0.75 * 2 + 0.5 + 0.5 * 2)
    assert_close(MaskedLoss()(logits, target, half, weight), cross_entropy - dice, atol=1e-5, rtol=1e-5)


def test_coarse_resolutions_use_the_mean_weight_of_what_they_cover():
    weight = torch.rand(1, 1, 8, 8)
    coarse = weight.view(1, 1, 4, 2, 4, 2).mean(dim=(3, 5))
    logits, targets = [torch.randn(1, 3, s, s) for s in (8, 4)], [torch.randint(0, 3, (1, 1, s, s)) for s in (8, 4)]
    expected = sum(
        0.5 * MaskedLoss()(z, y, m, w)
        for z, y, m, w in zip(logits, targets, (weight, coarse), (weight, coarse), strict=True)
    )
    assert_close(MaskedLoss(scale_weights=(0.5, 0.5))(logits, targets, weight, weight), expected)


def test_weight_zero_takes_a_voxel_out_of_the_gradient():
    logits, target = torch.randn(1, 3, 6, 6, requires_grad=True), torch.randint(0, 3, (1, 1, 6, 6))
    weight = torch.ones(1, 1, 6, 6)
    weight[..., 0] = 0
    (gradient,) = torch.autograd.grad(MaskedLoss()(logits, target, None, weight), logits)
    assert gradient[..., 0].abs().sum() == 0
    assert gradient[..., 1:].abs().min() > 0


@pytest.mark.parametrize("regions", BOOLEANS)
def test_only_ignored_voxels_give_a_finite_loss_without_gradient(regions):
    target = torch.full((1, 1, 6, 6), 3) if not regions else torch.tensor([0, 0, 1]).view(1, 3, 1, 1).expand(1, 3, 6, 6)
    logits = torch.randn(1, 2 if regions else 3, 6, 6, requires_grad=True)
    loss = our_loss(regions, True, False, None)(logits, target)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert_close(loss, torch.tensor(-1.0))
    assert gradient.abs().sum() == 0


def test_half_precision_logits_are_lifted_to_float32():
    logits, target = torch.randn(1, 3, 6, 6), torch.randint(0, 3, (1, 1, 6, 6))
    found = MaskedLoss()(logits.half(), target)
    assert found.dtype == torch.float32
    assert_close(found, MaskedLoss()(logits.half().float(), target))


def test_outputs_without_their_targets_are_refused():
    with pytest.raises(ValueError, match="got 2, 1 and 2"):
        MaskedLoss(scale_weights=(0.5, 0.5))([torch.zeros(1, 2, 4, 4)] * 2, [torch.zeros(1, 1, 4, 4)])


# --- what it is made of -----------------------------------------------------------------------------------------------


def test_sums_per_label_are_those_of_one_hot_labels() -> None:
    labels, values = torch.randint(0, 4, (2, 1, 5, 6)), torch.rand(2, 1, 5, 6)
    of_each = torch.nn.functional.one_hot(labels[:, 0], 4).movedim(-1, 1) * values
    assert_close(sum_per_label(values, labels, 4), of_each.sum(dim=(2, 3)))
    assert_close(spatial_sum(of_each), of_each.sum(dim=(2, 3)))


def test_a_coarse_voxel_gets_the_mean_of_what_it_covers() -> None:
    weight = torch.arange(8.0).view(1, 1, 2, 4)
    # 0 1 2 3 over 4 5 6 7, by hand: (0 + 1 + 4 + 5) / 4 and (2 + 3 + 6 + 7) / 4
    assert_close(resized(weight, torch.zeros(1, 3, 1, 2)), torch.tensor([[[[2.5, 4.5]]]]))
    assert resized(weight, torch.zeros(1, 3, 2, 4)) is weight
    assert resized(None, weight) is None


def test_one_resolution_is_the_first_of_one() -> None:
    fine, coarse = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 2, 2)
    assert full_resolution([fine, coarse]) is full_resolution(fine) is fine
    assert all_resolutions([fine, coarse])[1] is coarse
    assert all_resolutions(fine)[0] is fine
