"""Classes that nobody annotated, weights of cases and of voxels, against loops that say it voxel by voxel."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale.dale.marginal_loss import KnownTargets, class_weight_of, marginal_logits, without_confidence
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from tests.dale.test_masked_loss import nnunet_loss

BOOLEANS = (False, True)
IGNORE = 4
# of four samples: all annotated, two classes not, a weight, a case that does not count
LABEL_MAPS = [[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0], [0.25, 0.25, 0.0, 0.25], [0.0, 0.0, 0.0, 0.0]]
REGIONS = [row[1:] for row in LABEL_MAPS]


def label_maps(ignore: bool) -> tuple[Tensor, Tensor]:
    """Logits (4, 4, 5, 6) and labels, of which some are of classes that are not annotated."""
    torch.manual_seed(0)
    logits = torch.randn(4, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    return logits, torch.randint(0, 5 if ignore else 4, (4, 1, 5, 6))


def regions(ignore: bool) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    return logits, torch.rand(4, 3 + ignore, 5, 6) > 0.6


def known(target: Tensor, class_weight: list[list[float]], confidence: Tensor | None, of_regions: bool) -> KnownTargets:
    return KnownTargets.of([target], confidence, torch.tensor(class_weight), of_regions)


def merged(scores: list[Tensor], annotated: list[bool]) -> list[Tensor]:
    """Softmax of one voxel, classes that are not annotated added to background."""
    total = sum((score.exp() for score in scores), torch.zeros(()))
    each = [score.exp() / total for score in scores]
    background = sum((p for k, p in enumerate(each) if k == 0 or not annotated[k]), torch.zeros(()))
    return [background] + [p if annotated[k] else torch.zeros(()) for k, p in enumerate(each) if k > 0]


def mean_dice(sums: dict[tuple[int, int], list[Tensor]], classes: int, rows: list[list[float]], batch: bool) -> Tensor:
    """Of sums (2 intersection, both) per sample and class; a class leaves out the samples without it."""
    of_classes = []
    for k in range(classes):
        there = [b for b in range(4) if rows[b][k] > 0]
        if batch:
            of_classes.append((sum(sums[b, k][0] for b in there) + 1e-5) / (sum(sums[b, k][1] for b in there) + 1e-5))
        else:
            each = [rows[b][k] * (sums[b, k][0] + 1e-5) / (sums[b, k][1] + 1e-5) for b in there]
            of_classes.append(sum(each) / len(there))
    return torch.stack([torch.as_tensor(dice) for dice in of_classes]).mean()


@pytest.mark.parametrize(("ignore", "batch_dice", "weighted"), list(itertools.product(BOOLEANS, repeat=3)))
def test_label_maps_are_a_loop_with_a_merged_softmax(ignore: bool, batch_dice: bool, weighted: bool) -> None:
    logits, target = label_maps(ignore)
    confidence = torch.rand(4, 1, 5, 6, dtype=torch.float64) if weighted else None
    found = MaskedLoss(ignore_label=IGNORE if ignore else None, batch_dice=batch_dice)(
        logits, known(target, LABEL_MAPS, confidence, False)
    )

    nll, voxels = torch.zeros(()), 0
    sums = {(b, k): [torch.zeros(()), torch.zeros(())] for b in range(4) for k in range(3)}
    for b, y, x in itertools.product(range(4), range(5), range(6)):
        label, row = int(target[b, 0, y, x]), LABEL_MAPS[b]
        if row[0] == 0 or label == IGNORE:
            continue
        q = merged(list(logits[b, :, y, x]), [weight > 0 for weight in row])
        label = label if row[label] > 0 else 0
        weight = row[0] * (1 if confidence is None else confidence[b, 0, y, x])
        voxels += 1
        nll = nll - weight * q[label].log()
        for k in range(1, 4):
            sums[b, k - 1][0] = sums[b, k - 1][0] + 2 * weight * q[k] * (label == k)
            sums[b, k - 1][1] = sums[b, k - 1][1] + weight * (q[k] + (label == k))
    expected = nll / voxels - mean_dice(sums, 3, [row[1:] for row in LABEL_MAPS], batch_dice)

    assert_close(found, expected, rtol=1e-9, atol=1e-9)
    ours, theirs = (torch.autograd.grad(loss, logits)[0] for loss in (found, expected))
    assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert ours[3].abs().max() == 0


@pytest.mark.parametrize(("ignore", "batch_dice", "weighted"), list(itertools.product(BOOLEANS, repeat=3)))
def test_regions_leave_out_the_samples_in_which_they_are_not_annotated(ignore: bool, batch_dice, weighted) -> None:
    logits, target = regions(ignore)
    confidence = torch.rand(4, 1, 5, 6, dtype=torch.float64) if weighted else None
    loss = MaskedLoss(regions=True, ignore_channel=ignore, batch_dice=batch_dice)
    found = loss(logits, known(target, REGIONS, confidence, True))

    sums = {(b, k): [torch.zeros(()), torch.zeros(())] for b in range(4) for k in range(3)}
    entropies = [(torch.zeros(()), 0)] * 3
    for b, k, y, x in itertools.product(range(4), range(3), range(5), range(6)):
        if REGIONS[b][k] == 0 or (ignore and target[b, 3, y, x]):
            continue
        p, given = logits[b, k, y, x].sigmoid(), bool(target[b, k, y, x])
        weight = REGIONS[b][k] * (1 if confidence is None else confidence[b, 0, y, x])
        entropies[k] = (entropies[k][0] - weight * (p if given else 1 - p).log(), entropies[k][1] + 1)
        sums[b, k][0] = sums[b, k][0] + 2 * weight * p * given
        sums[b, k][1] = sums[b, k][1] + weight * (p + given)
    cross_entropy = torch.stack([total / voxels for total, voxels in entropies])
    # nnU-Net: mean over the regions, or with an ignore label their sum
    expected = (cross_entropy.sum() if ignore else cross_entropy.mean()) - mean_dice(sums, 3, REGIONS, batch_dice)

    assert_close(found, expected, rtol=1e-9, atol=1e-9)
    ours, theirs = (torch.autograd.grad(loss, logits)[0] for loss in (found, expected))
    assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert ours[1, 0].abs().max() == ours[2, 1].abs().max() == 0


@pytest.mark.parametrize(("of_regions", "ignore", "batch_dice"), list(itertools.product(BOOLEANS, repeat=3)))
def test_all_annotated_is_nnunets_loss(of_regions: bool, ignore: bool, batch_dice: bool) -> None:
    logits, target = regions(ignore) if of_regions else label_maps(ignore)
    if ignore and not of_regions:  # nnU-Net's loss in the other tests ignores 3
        logits, target = logits[:, :3], target.clamp_max(3)
    elif not of_regions:
        logits, target = logits[:, :3], target.clamp_max(2)
    logits = logits.detach().float().requires_grad_()
    loss = MaskedLoss(of_regions, 3 if ignore and not of_regions else None, ignore and of_regions, batch_dice)
    plain = nnunet_loss(of_regions, ignore, batch_dice, None)(logits, target)
    for given in (KnownTargets([target]), known(target, [[1.0] * 3] * 4, torch.ones(4, 1, 5, 6), of_regions)):
        found = loss(logits, given)
        assert_close(found, plain, rtol=1e-6, atol=1e-6)
        assert_close(*(torch.autograd.grad(each, logits, retain_graph=True)[0] for each in (found, plain)))
    assert torch.equal(loss(logits, KnownTargets([target])), loss(logits, target))


@pytest.mark.parametrize(("of_regions", "ignore", "batch_dice"), list(itertools.product(BOOLEANS, repeat=3)))
def test_a_case_of_weight_0_is_left_out_of_the_batchs_loss(of_regions: bool, ignore: bool, batch_dice: bool) -> None:
    logits, target = regions(ignore) if of_regions else label_maps(ignore)
    rows = REGIONS if of_regions else LABEL_MAPS
    loss = MaskedLoss(of_regions, IGNORE if ignore and not of_regions else None, ignore and of_regions, batch_dice)
    assert_close(
        loss(logits, known(target, rows, None, of_regions)),
        loss(logits[:3], known(target[:3], rows[:3], None, of_regions)),
        rtol=1e-12,
        atol=1e-12,
    )
    nothing = loss(logits, known(target, [[0.0] * len(rows[0])] * 4, None, of_regions))
    assert torch.isfinite(nothing)
    assert torch.autograd.grad(nothing, logits)[0].abs().max() == 0


def test_the_weight_of_a_case_is_a_factor_of_all_its_terms() -> None:
    """Of cross-entropy and of the Dice of each sample, whose voxels' weights would cancel."""
    logits, target = label_maps(ignore=False)
    one, half = (known(target[:1], [[weight] * 4], None, False) for weight in (1.0, 0.5))
    full, halved = (torch.autograd.grad(MaskedLoss()(logits[:1], each), logits)[0] for each in (one, half))
    assert_close(halved, full / 2, rtol=1e-4, atol=1e-8)


def test_confidence_is_the_weight_of_a_voxel_at_every_resolution() -> None:
    logits, target = label_maps(ignore=False)
    confidence, omega = torch.rand(4, 1, 5, 6, dtype=torch.float64), torch.rand(4, 1, 5, 6, dtype=torch.float64)
    outputs, targets = [logits, logits[:, :, :2, :3]], [target, target[:, :, :2, :3]]
    loss = MaskedLoss(scale_weights=(0.5, 0.5))
    found = loss(outputs, KnownTargets(targets, confidence), None, omega)
    assert_close(found, loss(outputs, targets, None, confidence * omega))
    assert_close(loss(outputs, without_confidence(KnownTargets(targets, confidence))), loss(outputs, targets))


def test_probabilities_by_hand() -> None:
    """p = (1, 2, 5) / 8 with class 2 not annotated: q = (6, 2, 0) / 8."""
    logits = torch.tensor([1.0, 2.0, 5.0]).log().view(1, 3, 1)
    q = marginal_logits(logits, torch.tensor([[1.0, 1.0, 0.0]]), regions=False).softmax(1)
    assert_close(q.flatten(), torch.tensor([0.75, 0.25, 0.0]))
    of_region = marginal_logits(logits, torch.tensor([[1.0, 1.0, 0.0]]), regions=True).sigmoid()
    assert_close(of_region.flatten(), torch.tensor([1 / 2, 2 / 3, 0.0]))


def test_where_all_is_annotated_the_logits_stay_bit_by_bit() -> None:
    logits = torch.randn(2, 3, 4, 4) * 10
    weights = torch.tensor([[1.0, 1.0, 1.0], [0.5, 0.5, 0.0]])
    assert torch.equal(marginal_logits(logits, weights, regions=False)[0], logits[0])
    assert marginal_logits(logits, None, regions=False) is logits


def test_labels_of_classes_that_are_not_annotated_are_background() -> None:
    target = torch.tensor([0, 1, 2, 3]).view(1, 1, 4).short()
    (found,) = KnownTargets.of([target], None, torch.tensor([[1.0, 1.0, 0.0]]), regions=False)
    assert found.flatten().tolist() == [0, 1, 0, 3]  # 3 is the ignore label
    assert found.dtype == target.dtype
    channels = torch.ones(1, 3, 2, dtype=torch.bool)
    (found,) = KnownTargets.of([channels], None, torch.tensor([[1.0, 0.0]]), regions=True)
    assert found.flatten(1).tolist() == [[True, True, False, False, True, True]]
    assert class_weight_of(channels) is None


def test_gradients_stay_finite_in_half_precision_and_for_large_logits() -> None:
    logits = (torch.randn(4, 4, 5, 6) * 1e3).half().requires_grad_()
    loss = MaskedLoss()(logits, known(torch.randint(0, 4, (4, 1, 5, 6)), LABEL_MAPS, None, False))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert math.isfinite(loss.item())
    assert torch.isfinite(gradient).all()
