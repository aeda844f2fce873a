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


def class_means(probabilities: Tensor, labels: Tensor, valid: Tensor | None, regions: bool = False) -> Tensor:
    """How far the network finds what each label marks: its mean probability over the sample's voxels that have it.

    Args:
        probabilities: (B, K, *S).
        labels: (B, 1, *S) label map with values below K, or (B, K, *S) of 0 and 1: there the answers yes and no of each
            region are the labels.
        valid: (B, 1, *S) bool, False where the label does not count for the mean; None: everywhere.
    Returns:
        (B, 1, *S), or (B, K, *S) for regions: at each voxel the mean of its own label.
    """
    counts = torch.ones_like(probabilities[:, :1]) if valid is None else valid.to(probabilities.dtype)
    if regions:
        inside = labels > 0.5
        answers = torch.where(inside, probabilities, 1 - probabilities)
        axes = tuple(range(2, labels.ndim))
        means = []
        for answer in (inside, ~inside):
            weight = answer * counts
            means.append((answers * weight).sum(axes, keepdim=True) / weight.sum(axes, keepdim=True).clamp_min(1))
        return torch.where(inside, means[0], means[1])
    index = labels.long()
    flat = index.flatten(1)
    of_label = probabilities.gather(1, index)
    sums, numbers = (
        probabilities.new_zeros(probabilities.shape[:2]).scatter_add(1, flat, each.flatten(1))
        for each in (of_label * counts, counts)
    )
    return (sums / numbers.clamp_min(1)).gather(1, flat).view_as(of_label)


def learned(means: Tensor, least: float) -> Tensor:
    """(B, 1, *S) bool: the voxel's label (of regions, every answer) has a mean probability of at least `least`.

    An object that the network does not find yet, of a rare class for instance or a small one, makes all its labels look
    wrong. Without this condition they would lose their weight, and it would never be found.
    """
    return (means >= least).all(dim=1, keepdim=True)


def likelihood_weights(probability: Tensor, threshold: float, exponent: float = 1.0) -> Tensor:
    """min(1, p / threshold) ** exponent: full confidence from `threshold` on, none where the label seems impossible.

    Args:
        probability: of the given labels, any shape.
        threshold: in (0, 1].
        exponent: > 0; how fast confidence falls below the threshold.
    """
    return (probability / threshold).clamp_max(1).pow(exponent)
