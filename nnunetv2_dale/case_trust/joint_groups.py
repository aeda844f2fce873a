"""Two groups that overlap in every single number: all classes of a case and its borders taken together.

Not in the paper. A label that is drawn elsewhere is displaced, and its border is where the image changes less. So wrong
labels tie the two together: across cases, displacement and contrast vary together. Among right labels they need not.
The one pair of directions that ties them most, of all classes at once, tells groups that overlap in each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.case_groups import CERTAIN, LEFT_OF_NORMAL, LOWER, best_partitions

SHUFFLES = 100
CHANCE = 0.3  # over the root of the cases: what two groups explain more of a normal distribution by chance


def joint_doubt(displacement: Tensor, contrast: Tensor, tolerance: float, explained: float, fewest: int) -> Tensor:
    """(N, K) in [−1, 1]: how far each case is down-weighted in each class; positive: drawn too large.

    With Z_δ and Z_c the standardised columns (0 where not known) and u, v the first singular vectors of Z_δᵀ Z_c / N
    (partial least squares: the largest covariance of any Z_δ u with any Z_c v), each case has one coordinate

        t = Z_δ u / sd + Z_c v / sd,

    which is parted in two. The group whose borders have less contrast is the wrong one. With z the first singular
    value's distance from those of shuffled cases, in their standard deviations,

        d_ik = sign · clip(|μ_k − μ_ref,k| / (2 tolerance) − 1, 0, 1) · clip((z − 2) / 3, 0, 1) · clear · m_i,

    μ_k and μ_ref,k the groups' mean displacements. `clear` grows with η, the part of the variance of t between them,
    from 0 at 2 / π + .3 / √N, a little above that of one normal distribution, to 1 at `explained`. m_i grows from 0
    half-way between the groups' means of t to 1 at that of the wrong one: cases in between are hardly down-weighted.

    Args:
        displacement: (N, K) of each case and class; NaN where not known.
        contrast: (N, K) of each case's borders; NaN where not known.
    """
    doubt = torch.zeros(displacement.shape, dtype=torch.float64)
    off, shown = standardised(displacement), standardised(contrast)
    of_off, tied, of_shown = torch.linalg.svd(off.T @ shown / max(len(off), 1))
    sure = (standard_errors_above_chance(off, shown) - LOWER) / (CERTAIN - LOWER)
    coordinate = standardised(torch.stack([off @ of_off[:, 0], shown @ of_shown[0]], dim=1)).sum(dim=1)
    partitions = best_partitions(coordinate, most=2)
    if not partitions or sure <= 0 or tied[0] == 0 or partitions[0].group.bincount().min() < fewest:
        return doubt
    groups = [partitions[0].group == each for each in range(2)]
    wrong = int(shown[groups[1]].mean() < shown[groups[0]].mean())
    half_way, of_wrong = partitions[0].means.mean(), partitions[0].means[wrong]
    member = torch.clamp((coordinate - half_way) / (of_wrong - half_way), 0, 1)
    by_chance = 1 - LEFT_OF_NORMAL[2] + CHANCE / len(off) ** 0.5
    clear: float = min(max((partitions[0].explained - by_chance) / max(explained - by_chance, 1e-6), 0), 1)
    apart = (displacement[groups[wrong]].nanmean(0) - displacement[groups[1 - wrong]].nanmean(0)).nan_to_num(0).double()
    size = apart.sign() * (apart.abs() / (2 * max(tolerance, 1e-6)) - 1).clamp(0, 1)
    return size * min(sure, 1) * clear * member[:, None]


def standard_errors_above_chance(off: Tensor, shown: Tensor) -> float:
    """How far the first singular value of two standardised tables lies above those of the tables with cases shuffled.

    The shuffles are the same at every call. 0 where shuffling changes nothing.
    """
    generator, shuffled = torch.Generator().manual_seed(0), []
    for _ in range(SHUFFLES):
        shuffled.append(torch.linalg.matrix_norm(off.T @ shown[torch.randperm(len(off), generator=generator)], 2))
    by_chance = torch.stack(shuffled)
    spread = float(by_chance.std())
    above = float(torch.linalg.matrix_norm(off.T @ shown, 2) - by_chance.mean())
    return above / spread if spread > 0 else 0.0


def standardised(values: Tensor) -> Tensor:
    """Columns (N, K) of mean 0 and variance 1, in float64; 0 where not known, and where all are alike."""
    known = ~values.isnan()
    count = known.sum(0).clamp_min(1)
    filled = values.double().nan_to_num(0.0)
    centred = torch.where(known, filled - filled.sum(0) / count, 0.0)
    spread = (centred.square().sum(0) / count).sqrt()
    return torch.where(spread > 1e-9, centred / spread.clamp_min(1e-9), 0.0)
