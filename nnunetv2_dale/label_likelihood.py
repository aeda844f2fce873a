"""Label confidence from how likely each label is under the network: ω without a meta step.

Not in the paper. Eq. 11's gradient finds wrong labels poorly and worse as training goes on, while the probability the
network gives to a label finds them well (docs/evidence.md).
"""

from __future__ import annotations

import torch
from torch import Tensor


def class_probabilities(logits: Tensor, regions: bool = False) -> Tensor:
    """(B, K, *S) in float32 and without a graph: softmax over the classes, or a sigmoid per region."""
    scores = logits.detach()
    scores = scores if scores.dtype == torch.float64 else scores.float()
    return scores.sigmoid() if regions else scores.softmax(dim=1)


def label_probability(probabilities: Tensor, labels: Tensor, regions: bool = False) -> Tensor:
    """(B, 1, *S): the probability of the given label; of regions, that of the least likely of a voxel's answers.

    Args:
        probabilities: (B, K, *S).
        labels: (B, 1, *S) label map with values below K, or (B, K, *S) of 0 and 1.
    """
    if not regions:
        return probabilities.gather(1, labels.long())
    return torch.where(labels > 0.5, probabilities, 1 - probabilities).amin(dim=1, keepdim=True)


def likelihood_weights(probability: Tensor, threshold: float, exponent: float = 1.0) -> Tensor:
    """min(1, p / threshold) ** exponent: full confidence from `threshold` on, none where the label seems impossible.

    Args:
        probability: of the given labels, any shape.
        threshold: in (0, 1].
        exponent: > 0; how fast confidence falls below the threshold.
    """
    return (probability / threshold).clamp_max(1).pow(exponent)
