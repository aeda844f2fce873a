"""Do cases fall into two groups? Otsu's split of a value per case, and which of the groups is the smaller.

Not in the paper. Labels of two protocols, or of readers who draw differently, make displacements with two peaks; then
the larger group is taken as right. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC
9(1), 1979.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TwoGroups:
    """The best split of each column.

    Attributes:
        side: (N, K) in {-1, 0, 1}: +1 in the smaller group where that is the one of larger values, −1 where it is the
            one of smaller values, 0 in the larger group and where the value is not known. Groups of one size: all 0.
        explained: (K,) Otsu's η in [0, 1], the part of the variance that lies between the groups; 0 without a split.
            0.64 for a normal distribution, 0.75 for a uniform one, 1 for two values.
        distance: (K,) between the means of the groups; 0 without a split.
    """

    side: Tensor
    explained: Tensor
    distance: Tensor


@torch.no_grad()
def two_groups(values: Tensor) -> TwoGroups:
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
    more_below = (below - above).gather(0, best)
    side = (upper & (more_below > 0)).to(values.dtype) - (known & ~upper & (more_below < 0)).to(values.dtype)
    return TwoGroups(
        side * split,
        torch.where(split, (between.gather(0, best)[0] / variance.clamp_min(1e-12)).clamp(0, 1), 0.0),
        torch.where(split, distances.gather(0, best)[0], 0.0),
    )
