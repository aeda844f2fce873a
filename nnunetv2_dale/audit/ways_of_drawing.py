"""Where nearly half of the labels are drawn wider than the others, the bulk of the cases lies between both.

The networks have then learned a border in between, from which right labels are as far as wrong ones. The differences
with their sign fall into two groups. The image tells which of them is right: it shows that group's borders, and not the
other's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from nnunetv2_dale.audit.null_model import LEAST_OF_GROUPS, MANY_WRONG, two_groups
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.statistics.usual_values import LARGEST_Z, Floats

SHARES = (0.5, 0.35, 0.65)  # of the wider group, with which the two are looked for
FARTHEST = 8.0  # spreads: single errors beyond are no group
TOLD = 3.0  # standard errors by which the image has to show one group's borders better


@dataclass(frozen=True)
class Way:
    """How the group of cases draws that the image shows to be right."""

    cases: Mask  # (N,)
    middle: float
    spread: float

    def seen_from(self, wider: Floats) -> Floats:
        """Return differences in this group's spreads from its middle."""
        return np.clip((wider - self.middle) / self.spread, -LARGEST_Z, LARGEST_Z)


def right_way(wider: Floats, image: Floats) -> Way | None:
    """Return the right one of two ways of drawing.

    Two normal distributions have to explain the differences better than one (Bayesian information criterion), lie
    cleanly apart (Ashman's D, see `null_model.trusted_group`), and hold more than `MANY_WRONG` of the cases each.

    Args:
        wider: (N,) how much wider than by the networks each label is drawn, in spreads; NaN: nothing to compare.
        image: (N,) how well the image shows the label's border, in spreads; not finite: it says nothing.
    Returns:
        None where there is one way, or the image does not tell.
    """
    known = np.isfinite(wider)
    if known.sum() < LEAST_OF_GROUPS:
        return None
    values = np.clip(wider[known], -FARTHEST, FARTHEST)
    two = two_groups(values, SHARES)
    if two is None or two.weights_.min() <= MANY_WRONG:
        return None
    group = np.full(len(wider), -1)
    group[known] = two.predict(values[:, None])
    shown = [image[(group == number) & np.isfinite(image)] for number in range(2)]
    if min(map(len, shown)) < 2:
        return None
    told = _welch(shown[1], shown[0])
    if not abs(told) > TOLD:
        return None
    right = int(told > 0)
    return Way(group == right, float(two.means_[right, 0]), float(np.sqrt(two.covariances_[right, 0, 0])))


def _welch(values: Floats, others: Floats) -> float:
    """Return Welch's t; from moments, for `scipy.stats.ttest_ind` warns of a group without spread."""
    (first, first_spread), (second, second_spread) = ((of.mean(), of.std(ddof=1)) for of in (values, others))
    test = stats.ttest_ind_from_stats(first, first_spread, len(values), second, second_spread, len(others), False)
    return float(test.statistic)
