"""Into how many groups do the cases of a class fall, and which of them are to be down-weighted?

Not in the paper. Labels of several protocols, or of readers who draw differently, make displacements with several
peaks. The best groups are found exactly: Fisher, "On grouping for maximum homogeneity", J. Am. Stat. Assoc. 53, 1958;
for two groups this is Otsu's threshold. Group means are compared by Welch's t.

Everything here is on the host, once per epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CERTAIN = 5.0  # standard errors by which the contrasts of two groups must differ to choose between them
LOWER = 2.0  # standard errors by which a contrast must be lower, where the image shows the borders
VISIBLE = 1.1  # contrast of borders that the image shows; 1 is that of a line drawn anywhere
LEFT_OF_NORMAL = {2: 1 - 2 / math.pi, 3: 0.190, 4: 0.118}  # 1 − η of the best groups of one normal distribution
MOST_PLACES = 1000  # at which sorted values may be cut; more cases are cut at every second, third … only


@dataclass(frozen=True)
class Partition:
    """Groups of values."""

    group: Tensor  # (N,) from 0 for the smallest values up; −1 where the value is not known
    means: Tensor  # (k,) of the groups, ascending
    explained: float  # η in [0, 1], the part of the variance that lies between the groups


def best_partitions(values: Tensor, most: int = 4) -> list[Partition]:
    """The partitions into 2, 3, … `most` groups with the least variance within groups (Fisher 1958).

    Dynamic programming over the sorted values: W(k, j) = min over i of W(k − 1, i) + Σ_{i ≤ n < j} (x_n − mean)².

    Args:
        values: (N,); NaN where not known.
    Returns:
        one for each number of groups that there are different values for; none without a variance.
    """
    known = (~values.isnan()).nonzero().flatten()
    ordered, order = values[known].double().sort()
    different = len(set(ordered.tolist()))
    if different < 2:
        return []
    ordered = ordered - ordered.mean()
    step = -(-len(ordered) // MOST_PLACES)
    places = torch.tensor([*range(0, len(ordered), step), len(ordered)])
    sums, squares = (torch.cat([torch.zeros(1).double(), each.cumsum(0)])[places] for each in (ordered, ordered**2))
    size = places[None] - places[:, None]
    within = (squares[None] - squares[:, None]) - (sums[None] - sums[:, None]).square() / size.clamp_min(1)
    within = torch.where(size > 0, within.clamp_min(0), torch.inf)
    least, cuts, found = within[0], [], []
    for k in range(2, min(most, different, len(places) - 1) + 1):
        least, cut = (least[:, None] + within).min(dim=0)
        cuts.append(cut)
        ends = [len(places) - 1]
        for each in reversed(cuts):
            ends.append(int(each[ends[-1]]))
        bounds = places[torch.tensor([0, *reversed(ends)])]
        sizes = bounds.diff()
        group = torch.full((len(values),), -1)
        group[known[order]] = torch.repeat_interleave(torch.arange(k), sizes)
        means = torch.stack([values[group == each].double().mean() for each in range(k)])
        found.append(Partition(group, means, float((1 - least[-1] / within[0, -1]).clamp(0, 1))))
    return found


def group_doubt(values: Tensor, contrast: Tensor, tolerance: float, explained: float, fewest: int) -> Tensor:
    """(N,) in [−1, 1]: how far each case is down-weighted for the group it is in; positive: drawn too large.

    The number of groups k is the one that leaves least of what k groups of one normal distribution leave,
    `LEFT_OF_NORMAL`; each group has at least `fewest` cases, and neighbours are at least 2 `tolerance` apart. The
    reference is the largest group of those whose contrast is not `CERTAIN` standard errors below the best. Every other
    group is down-weighted by

        sign · clip(|μ − μ_ref| / (2 tolerance) − 1, 0, 1) · clear,
        clear = clip(4 − k² (1 − η) / (1 − explained), 0, 1),

    which is 0 for a uniform distribution at explained = .75. Where the image tells that the group is the wrong one,
    clear goes from 0 for a normal distribution to 1 for a uniform one. The image may also acquit: where it shows the
    reference's borders, a group whose contrast is not `LOWER` standard errors lower is trusted.

    Args:
        values: (N,) displacements; NaN where not known.
        contrast: (N,) of each case's borders; NaN where not known.
    """
    doubt = torch.zeros(len(values), dtype=torch.float64)
    possible = [each for each in best_partitions(values) if _apart(each, tolerance, fewest)]
    if not possible:
        return doubt
    best = max(possible, key=lambda each: 1 - (1 - each.explained) / LEFT_OF_NORMAL[len(each.means)])
    contrasts = [contrast[best.group == each] for each in range(len(best.means))]
    reference = reference_group([int((best.group == each).sum()) for each in range(len(best.means))], contrasts)
    if reference is None:
        return doubt
    visible = float(contrasts[reference].nanmean()) > VISIBLE
    for each, theirs in enumerate(contrasts):
        lower = welch(contrasts[reference], theirs)
        if each != reference and not (visible and lower < LOWER):
            off = float(best.means[each] - best.means[reference])
            size = min(max(abs(off) / (2 * max(tolerance, 1e-6)) - 1, 0), 1)
            clear = clearness(len(best.means), best.explained, explained, lower > CERTAIN)
            doubt[best.group == each] = (1 if off > 0 else -1) * size * clear
    return doubt


def clearness(groups: int, eta: float, explained: float, told: bool) -> float:
    """How clearly so many groups are apart, in [0, 1], see `group_doubt`.

    Args:
        eta: the part of the variance between them.
        explained: that of two groups from which on they are clear, by themselves.
        told: whether the image tells which is right.
    """
    unexplained = groups**2 * (1 - eta) / max(4 * (1 - explained), 1e-6)
    if not told:
        return min(max(4 * (1 - unexplained), 0), 1)
    left = LEFT_OF_NORMAL[groups]
    at_explained = 4 * (1 - explained) / groups**2 / left
    return min(max((1 - (1 - eta) / left) / max(1 - at_explained, 1e-6), 0), 1)


def reference_group(sizes: list[int], contrasts: list[Tensor]) -> int | None:
    """The largest group of those whose contrast is not `CERTAIN` below the best; None where two are the largest."""
    best = max(range(len(sizes)), key=lambda each: float(contrasts[each].nanmean().nan_to_num(-torch.inf)))
    trusted = [each for each in range(len(sizes)) if welch(contrasts[best], contrasts[each]) <= CERTAIN]
    most = max(sizes[each] for each in trusted)
    largest = [each for each in trusted if sizes[each] == most]
    return largest[0] if len(largest) == 1 else None


def welch(these: Tensor, others: Tensor) -> float:
    """Welch's t: by how many standard errors the mean of these is above that of others; NaN count in neither.

    0 where one side has fewer than two values, or all have the same.
    """
    a, b = (each[~each.isnan()].double() for each in (these, others))
    if min(len(a), len(b)) < 2:
        return 0.0
    error = (a.var() / len(a) + b.var() / len(b)).sqrt()
    difference = a.mean() - b.mean()
    return float(difference / error.clamp_min(1e-9)) if difference != 0 else 0.0


def _apart(found: Partition, tolerance: float, fewest: int) -> bool:
    counts = found.group[found.group >= 0].bincount()
    return bool(counts.min() >= fewest and found.means.diff().min() >= 2 * tolerance)
