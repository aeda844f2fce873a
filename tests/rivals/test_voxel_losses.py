"""Losses of voxels and classes against loops in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

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
