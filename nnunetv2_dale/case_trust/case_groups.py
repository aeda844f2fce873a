"""Do cases fall into two groups? Otsu's split of a value per case, and which of the groups is to be doubted.

Not in the paper. Labels of two protocols, or of readers who draw differently, make displacements with two peaks. Otsu,
"A threshold selection method from gray-level histograms", IEEE Trans. SMC 9(1), 1979.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CERTAIN = 5.0  # standard errors by which two groups' means have to differ


@dataclass(frozen=True)
class OtsuSplit:
    """The best split of each column.

    Attributes:
        side: (N, K) in {-1, 0, 1}: +1 in the group of larger values, −1 in that of smaller ones, 0 where the value is
            not known and without a split.
        explained: (K,) Otsu's η in [0, 1], the part of the variance that lies between the groups; 0 without a split.
            0.64 for a normal distribution, 0.75 for a uniform one, 1 for two values.
        distance: (K,) between the means of the groups; 0 without a split.
    """

    side: Tensor
    explained: Tensor
    distance: Tensor


@torch.no_grad()
def otsu_split(values: Tensor) -> OtsuSplit:
    """Split each column at the threshold with the largest variance between the groups.

    Args:
        values: (N, K); NaN where not known.
    """
    known = ~values.isnan()
    count = known.sum(0)
    ordered = values.sort(dim=0).values.nan_to_num(0.0)  # NaN sort last
    total = ordered.sum(0)
    below = torch.arange(1, len(values) + 1, device=values.device, dtype=values.dtype)[:, None].expand_as(values)
    above = count - below
    sums = ordered.cumsum(0)
    distances = (total - sums) / above.clamp_min(1) - sums / below
    between = torch.where(above > 0, below * above * distances.square(), 0.0) / count.clamp_min(1).square()
    best = between.argmax(0, keepdim=True)
    mean = total / count.clamp_min(1)
    # in order of size, so that the order of the cases does not change the last digit
    variance = (torch.where(below <= count, ordered - mean, 0.0).square().sum(0)) / count.clamp_min(1)
    split = (count > 1) & (variance > 0)
    upper = known & (values > ordered.gather(0, best))
    return OtsuSplit(
        (upper.to(values.dtype) - (known & ~upper).to(values.dtype)) * split,
        torch.where(split, (between.gather(0, best)[0] / variance.clamp_min(1e-12)).clamp(0, 1), 0.0),
        torch.where(split, distances.gather(0, best)[0], 0.0),
    )


@torch.no_grad()
def doubted_group(side: Tensor, contrast: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of two groups of labels is to be doubted.

    The one whose borders lie where the image changes less, if their mean contrasts differ for certain (Welch's t).
    Otherwise the smaller one. Of groups of one size neither is.

    Args:
        side: (N, K) in {-1, 0, 1}, of `OtsuSplit`.
        contrast: (N, K) of each case's borders; NaN where not known.
    Returns:
        (K,) in {-1, 0, 1}: the side that is doubted; (K,) bool: whether the contrasts have decided.
    """
    groups = torch.stack([side > 0, side < 0])
    known = groups & ~contrast.isnan()
    count = known.sum(dim=1)
    mean = torch.where(known, contrast, 0.0).sum(dim=1) / count.clamp_min(1)
    squares = torch.where(known, contrast - mean[:, None], 0.0).square().sum(dim=1)
    error = (squares / (count * (count - 1)).clamp_min(1)).sum(dim=0).sqrt()
    upper, lower = mean
    certain = (count > 1).all(dim=0) & ((upper - lower).abs() > CERTAIN * error)
    sizes = groups.sum(dim=1)
    smaller = (sizes[1] - sizes[0]).sign()  # +1: the upper group is the smaller one
    return torch.where(certain, (lower - upper).sign(), smaller).to(side.dtype), certain
