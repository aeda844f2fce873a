"""Which queries stand for which class: contiguous groups, background first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_dale.dale.marginal_loss import like, marginal_logits
from nnunetv2_dale.dale.masked_loss import resized

SMALLEST_SHARE = 1e-4  # of a class that the labels hardly show


def group_sizes(query_count: int, num_classes: int, background_share: float) -> tuple[int, ...]:
    """Queries of each class: `background_share` for background, the rest shared out evenly; nobody gets none.

    Returns:
        num_classes sizes that sum to query_count.
    Raises:
        ValueError: fewer queries than classes, or fewer than two classes.
    """
    foreground = num_classes - 1
    if foreground < 1 or query_count < num_classes:
        raise ValueError(
            f"expected at least 2 classes, and at least as many queries as classes, got {num_classes} classes and "
            f"query_count {query_count}; raise query_count"
        )
    background = min(max(1, round(query_count * background_share)), query_count - foreground)
    each, left = divmod(query_count - background, foreground)
    return (background, *(each + (place < left) for place in range(foreground)))


def starting_bias(class_shares: Sequence[float], sizes: Sequence[int]) -> Tensor:
    """What to add to equal logits of N queries for each group to get its class's share: log(share N / size).

    Args:
        class_shares: of the voxels, background first; none counts as less than 1e-4 of them.
        sizes: of the groups, summing to N.
    Returns:
        (N,).
    """
    each = [
        math.log(max(share, SMALLEST_SHARE) * sum(sizes) / size)
        for share, size in zip(class_shares, sizes, strict=True)
    ]
    return torch.tensor(each).repeat_interleave(torch.tensor(sizes))


def group_log_probabilities(logits: Tensor, sizes: Sequence[int]) -> Tensor:
    """log Σ over a group's queries of their share of the voxel, for every group: log of what sums to 1.

    Args:
        logits: (B, N, *S) of the assignment; the shares are their softmax over the queries.
        sizes: of the groups, summing to N.
    Returns:
        (B, G, *S).
    """
    shares = torch.split(logits.log_softmax(dim=1), list(sizes), dim=1)
    return torch.stack([share.logsumexp(dim=1) for share in shares], dim=1)


def group_loss(
    log_probabilities: Tensor,
    labels: Tensor,
    ignore_label: int,
    confidence: Tensor | None = None,
    class_weight: Tensor | None = None,
) -> Tensor:
    """L_qd: cross-entropy between the groups' shares and the label; 0 where every voxel is ignored.

    Args:
        log_probabilities: (B, G, *S), group g for label g.
        labels: (B, 1, *S) at any resolution; the value of a voxel's centre is taken.
        confidence: c, (B, 1, *S) at full resolution, a voxel's weight; coarser ones take its mean. None is 1.
        class_weight: (B, G) as in `KnownTargets`: a class without weight may be its sample's background. None is 1.
    Returns:
        the mean over the voxels that are not ignored.
    """
    if labels.shape[2:] != log_probabilities.shape[2:]:
        labels = torch.nn.functional.interpolate(labels.float(), size=log_probabilities.shape[2:], mode="nearest-exact")
    valid = labels != ignore_label
    shares = marginal_logits(log_probabilities, class_weight, regions=False)
    of_label = shares.gather(1, torch.where(valid, labels, 0).long()) * valid
    if (weight := resized(confidence, log_probabilities)) is not None:
        of_label = of_label * weight
    if class_weight is not None:
        of_label = of_label * like(class_weight.amax(dim=1), of_label)
    return -of_label.sum() / valid.sum().clamp_min(1)
