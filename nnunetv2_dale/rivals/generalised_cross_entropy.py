"""Generalised cross-entropy, the cheap rival of a learned label confidence (Zhang and Sabuncu, NeurIPS 2018, Eq. 6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.masked_loss import MaskedLoss

# Zhang and Sabuncu's choice in all their experiments.
EXPONENT = 0.7


def generalised_cross_entropy(probability: Tensor, exponent: float = EXPONENT) -> Tensor:
    """(1 − p^q) / q per element: cross-entropy for q → 0, the mean absolute error for q = 1.

    Args:
        probability: of the given label, in [0, 1].
        exponent: q in (0, 1].
    Raises:
        ValueError: q out of its range.
    """
    if not 0 < exponent <= 1:
        raise ValueError(f"the exponent of the generalised cross-entropy must be in (0, 1], got {exponent}")
    # A probability of exactly 0 has an infinite gradient.
    return (1 - probability.clamp_min(torch.finfo(torch.float32).tiny).pow(exponent)) / exponent


class SoftmaxGeneralisedCrossEntropy(nn.Module):
    """For label maps: takes the place of the cross-entropy in nnU-Net's `DC_and_CE_loss`."""

    def __init__(self, ignore_label: int | None = None) -> None:
        super().__init__()
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean over the voxels that are not ignored; 0 where all are.

        Args:
            logits: (B, K, *S).
            target: (B, *S) or (B, 1, *S) labels.
        """
        labels = (target if target.ndim == logits.ndim else target[:, None]).long()
        valid = torch.ones_like(labels, dtype=torch.bool) if self.ignore_label is None else labels != self.ignore_label
        of_label = logits.float().softmax(dim=1).gather(1, torch.where(valid, labels, 0))
        return (generalised_cross_entropy(of_label) * valid).sum() / valid.sum().clamp_min(1)


class SigmoidGeneralisedCrossEntropy(nn.Module):
    """For regions: takes the place of the binary cross-entropy in nnU-Net's `DC_and_BCE_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Per element (B, R, *S) with reduction "none", else the mean.

        Args:
            logits: (B, R, *S).
            target: (B, R, *S), 0 or 1.
        """
        of_label = torch.where(target > 0.5, logits, -logits).float().sigmoid()
        loss = generalised_cross_entropy(of_label)
        return loss if self.reduction == "none" else loss.mean()


@dataclass(frozen=True)
class GeneralisedMaskedLoss(MaskedLoss):
    """For both, where more is known of the targets; without label mask."""

    def of_label(self, log_probability: Tensor) -> Tensor:
        return generalised_cross_entropy(log_probability.exp())

    def of_regions(self, logits: Tensor, target: Tensor) -> Tensor:
        return SigmoidGeneralisedCrossEntropy("none")(logits, target)  # type: ignore[no-any-return]
