"""Losses of voxels and classes against loops in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.rivals.voxel_losses import dice_losses, voxel_cross_entropy


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_cross_entropy_of_label_maps_voxel_by_voxel(shape: tuple[int, ...]) -> None:
    logits, target = torch.randn(2, 3, *shape), torch.randint(4, (2, 1, *shape))  # 3 is ignored
    found = voxel_cross_entropy(logits, target, MaskedLoss(ignore_label=3))
    assert found.shape == target.shape
    for place in np.ndindex(2, *shape):
        sample, voxel = place[0], place[1:]
        scores = np.exp(logits[(sample, slice(None), *voxel)].double().numpy())
        label = int(target[(sample, 0, *voxel)])
        expected = 0.0 if label == 3 else -np.log(scores[label] / scores.sum())
        assert found[(sample, 0, *voxel)].item() == pytest.approx(expected, abs=1e-5)


def test_cross_entropy_of_regions_by_hand() -> None:
    """Logits 0 and log 3: probabilities 1/2 and 3/4; targets 1 and 0: (log 2 + log 4) / 2."""
    logits = torch.tensor([0.0, float(np.log(3))]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    target = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]], [[0.0, 1.0]]]])  # the last channel ignores the second voxel
    found = voxel_cross_entropy(logits, target, MaskedLoss(regions=True, ignore_channel=True))
    assert_close(found, torch.tensor([1.5 * np.log(2), 0.0], dtype=torch.float32).view(1, 1, 1, 2))


def test_dice_losses_by_hand() -> None:
    """Class 1: 1 − 2 · 0.5 / (0.5 + 0.25 + 1) = 3/7; class 2 is neither there nor predicted; one voxel is ignored."""
    probabilities = torch.tensor([[[[0.5, 0.75, 0.0]], [[0.5, 0.25, 0.3]], [[0.0, 0.0, 0.7]]]])
    target = torch.tensor([[[[1, 0, 3]]]])
    found = dice_losses(probabilities, target, MaskedLoss(ignore_label=3))
    assert_close(found, torch.tensor([[1 - 1.5 / 2.25, 3 / 7, 0.0]]), atol=1e-4, rtol=0)


def test_dice_losses_of_regions_are_those_of_each_region_alone() -> None:
    probabilities, target = torch.rand(2, 3, 4, 4), (torch.rand(2, 3, 4, 4) > 0.5).float()
    found = dice_losses(probabilities, target, MaskedLoss(regions=True))
    for sample in range(2):
        for region in range(3):
            p, t = probabilities[sample, region].numpy(), target[sample, region].numpy()
            assert found[sample, region].item() == pytest.approx(1 - 2 * (p * t).sum() / (p.sum() + t.sum()), abs=1e-4)


def test_cross_entropy_of_what_is_annotated_by_hand() -> None:
    """p = (1, 2, 5) / 8 without class 2: background has 6/8. Of regions one of two counts: log 4 alone."""
    logits = torch.tensor([1.0, 2.0, 5.0]).log().view(1, 3, 1, 1).expand(1, 3, 1, 2)
    known = KnownTargets.of([torch.tensor([[[[0, 2]]]])], None, torch.tensor([[1.0, 1.0, 0.0]]), regions=False)
    assert_close(voxel_cross_entropy(logits, known, MaskedLoss()).exp(), torch.full((1, 1, 1, 2), 8 / 6))
    logits = torch.tensor([0.0, float(np.log(3))]).view(1, 2, 1, 1)
    known = KnownTargets.of([torch.tensor([[[[1.0]], [[0.0]]]])], None, torch.tensor([[0.0, 1.0]]), regions=True)
    found = voxel_cross_entropy(logits, known, MaskedLoss(regions=True))
    assert_close(found.exp(), torch.full((1, 1, 1, 1), 4.0))


def test_a_voxel_of_weight_0_has_no_part_in_a_dice_loss() -> None:
    probabilities, target = torch.rand(1, 3, 4, 4), torch.randint(3, (1, 1, 4, 4))
    weight = torch.ones(1, 1, 4, 4)
    weight[..., 2:] = 0
    found = dice_losses(probabilities, target, MaskedLoss(), weight)
    assert_close(found, dice_losses(probabilities[..., :2], target[..., :2], MaskedLoss()))
