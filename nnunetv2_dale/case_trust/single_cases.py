"""Single cases that lie off, in contours that the image shows less than those of the others.

Not in the paper. Groups must be several cases that are drawn alike; a single case needs none. It is down-weighted where
its displacement lies away from where most well-bordered labels lie, and its border has less contrast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dale.case_trust.case_groups import CERTAIN, LOWER, VISIBLE, best_partitions, clearness, welch


def single_case_doubt(values: Tensor, contrast: Tensor, tolerance: float, fewest: int) -> Tensor:
    """(N,) in [−1, 1]: how far each case is down-weighted; positive: drawn too large.

    With δ₀ the half-sample mode of δ in the half of the cases whose borders have more contrast, and z Welch's t of
    the contrasts of the cases nearer to it than 2 `tolerance` against those farther,

        d_i = sign(δ_i − δ₀) · clip(|δ_i − δ₀| / (2 tolerance) − 1, 0, 1) · clip((z − 2) / 3, 0, 1)
              · min(clip((c_near − c_i) / (c_near − c_far), 0, 1), clip(1 − 2 (c_i − 1) / (c_near − 1), 0, 1)).

    The last term is where the image shows the near borders: one drawn elsewhere has a contrast of about 1. In a poor
    image right borders show less as well, but seldom that little.

    Args:
        values: (N,) displacements δ; NaN where not known.
        contrast: (N,) of each case's borders, c; NaN where not known.
        fewest: cases that must be near, and far, before contrasts are compared.
    """
    known = ~(values.isnan() | contrast.isnan())
    doubt = torch.zeros(len(values), dtype=torch.float64)
    if int(known.sum()) < 2 * fewest:
        return doubt
    delta, shown = values[known].double(), contrast[known].double()
    off = delta - half_sample_mode(delta[shown >= shown.median()])
    reach = 2 * max(tolerance, 1e-6)
    near = off.abs() < reach
    if min(int(near.sum()), int((~near).sum())) < fewest:
        return doubt
    sure = min(max((welch(shown[near], shown[~near]) - LOWER) / (CERTAIN - LOWER), 0), 1)
    if sure > 0:
        of_near, of_far = shown[near].mean(), shown[~near].mean()
        less = ((of_near - shown) / (of_near - of_far)).clamp(0, 1)
        if of_near > VISIBLE:
            less = torch.minimum(less, (1 - 2 * (shown - 1) / (of_near - 1)).clamp(0, 1))
        doubt[known] = off.sign() * (off.abs() / reach - 1).clamp(0, 1) * sure * less
    return doubt


def shift_doubt(contrast: Tensor, explained: float, fewest: int) -> Tensor:
    """(N,) in [0, 1]: how far each case is down-weighted on both sides of its border, which the image does not show.

    A label that is moved is as large as a right one. Where contrasts fall into two clear groups (`clearness`), of which
    the image shows the borders of one and not of the other, that one is down-weighted. Two scanners give two groups
    of contrasts as well, but borders that both show.

    Args:
        contrast: (N,) of each case's borders; NaN where not known.
    """
    doubt = torch.zeros(len(contrast), dtype=torch.float64)
    for found in best_partitions(contrast, most=2):
        counts = found.group[found.group >= 0].bincount()
        if counts.min() >= fewest and found.means[0] < VISIBLE < found.means[1]:
            doubt[found.group == 0] = clearness(2, found.explained, explained, told=False)
    return doubt


def half_sample_mode(values: Tensor) -> float:
    """Where values lie closest: the shortest interval of half of them, of half of those, and so on.

    Bickel and Fruehwirth, "On a fast, robust estimator of the mode", Comput. Stat. Data Anal. 50, 2006.

    Args:
        values: (N,), N at least 1.
    """
    ordered = values.sort().values
    while len(ordered) > 2:
        half = -(-len(ordered) // 2)
        start = int((ordered[half - 1 :] - ordered[: len(ordered) - half + 1]).argmin())
        if len(ordered) == 3:
            half = 2
            start = int(ordered[1] - ordered[0] > ordered[2] - ordered[1])
        ordered = ordered[start : start + half]
    return float(ordered.mean())
