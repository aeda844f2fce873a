"""The generalised cross-entropy in nnU-Net's own losses: everything else stays nnU-Net's."""

from __future__ import annotations

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.testing import assert_close

from nnunetv2_dale.rivals.generalised_cross_entropy import generalised_cross_entropy
from nnunetv2_dale.trainer.rivals import nnUNetTrainerGCE
from tests.trainer.fixtures import make_trainer, next_batch, started

pytestmark = pytest.mark.usefixtures("nnunet")


@pytest.mark.parametrize("kind", ["Labels", "Regions", "Ignore", "RegionsIgnore"])
def test_its_loss_is_dice_and_generalised_cross_entropy(kind: str) -> None:
    torch.manual_seed(0)
    ours = started(make_trainer(nnUNetTrainerGCE, kind))
    plain = started(make_trainer(nnUNetTrainer, kind))
    batch = next_batch(ours, 0)
    outputs = [torch.randn(len(y), ours.label_manager.num_segmentation_heads, *y.shape[2:]) for y in batch["target"]]
    targets = batch["target"]
    difference = ours.loss(outputs, targets) - plain.loss(outputs, targets)
    expected = sum(
        weight * (_cross_entropy(kind, z, y, generalised_cross_entropy) - _cross_entropy(kind, z, y, _logarithm))
        for weight, z, y in zip(ours.loss.weight_factors, outputs, targets, strict=True)
    )
    assert_close(difference, torch.as_tensor(expected, dtype=difference.dtype), atol=1e-5, rtol=1e-4)


def _logarithm(probability: torch.Tensor) -> torch.Tensor:
    return -probability.log()


def _cross_entropy(kind: str, logits: torch.Tensor, target: torch.Tensor, of_probability) -> torch.Tensor:
    """Voxel by voxel from the probability of the given label."""
    if kind.startswith("Regions"):
        valid = target[:, -1:] == 0 if kind.endswith("Ignore") else torch.ones_like(target[:, :1], dtype=torch.bool)
        regions = target[:, :-1] if kind.endswith("Ignore") else target
        values = of_probability(torch.where(regions > 0.5, logits.sigmoid(), 1 - logits.sigmoid())) * valid
        return values.sum() / valid.sum() if kind.endswith("Ignore") else values.mean()
    valid = target != 5 if kind == "Ignore" else torch.ones_like(target, dtype=torch.bool)
    probability = logits.softmax(1).gather(1, torch.where(valid, target, 0).long())
    return (of_probability(probability) * valid).sum() / valid.sum()
