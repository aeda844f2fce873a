"""What is usual, learned from the audited cases themselves, all together and fold by fold.

Most labels are right, so the bulk of the cases shows how right labels lie. Its middle and spread come from the values
around the densest half, which wrong labels do not reach.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

NORMAL_HALF = 1.349  # length of the shortest half of a normal distribution, in standard deviations
BULK = 2.5  # spreads around the middle within which values count as the bulk
BULK_DEVIATION = 0.953  # standard deviation of a normal distribution cut at ± 2.5
LEAST_OF_FOLD = 3  # cases, from which a fold shows anything of its own
FAR_SHARE, FAR_CHANCE = 0.1, 0.001  # of the other folds' cases, and of an accident (`as_elsewhere`)
FOLD_CASES = 10  # of a fold, from which it counts as much as all folds together
LARGEST_Z = 40.0


def usual(values: Floats, least_spread: float = 0.0) -> tuple[float, float]:
    """Return the middle and spread of the bulk: mean and deviation of the values around the shortest half.

    Args:
        values: (N,), NaN is left out.
    Returns:
        (middle, spread); (0, infinity) for fewer than 3 values, of which nothing is known.
    """
    known = np.sort(values[np.isfinite(values)])
    if len(known) < 3:
        return 0.0, float("inf")
    count = len(known) // 2 + 1
    lengths = known[count - 1 :] - known[: len(known) - count + 1]
    equal = np.flatnonzero(lengths <= lengths.min() * (1 + 1e-9))
    start = int(equal[len(equal) // 2])
    middle = float(np.median(known[start : start + count]))
    # The shortest of many halves is shorter than the true one, the more so the fewer values there are.
    spread = lengths[start] / NORMAL_HALF * (1 + 2.0 / len(known) ** (2 / 3))
    for _ in range(3):
        bulk = known[np.abs(known - middle) <= BULK * max(spread, least_spread, 1e-9)]
        middle, spread = float(bulk.mean()), float(bulk.std(ddof=1)) / BULK_DEVIATION if len(bulk) > 2 else spread
    return middle, float(max(spread, least_spread, 1e-9))


def usual_by_fold(values: Floats, folds: Sequence[str], least_spread: float = 0.0) -> tuple[Floats, Floats]:
    """(middle, spread), (N,) each, of the bulk among the cases that one network predicted.

    Each fold's network has its own habits and its own quality.

    The fewer cases a fold has, the more it is drawn to what is usual among all: with `FOLD_CASES` half of the way. Of
    more cases that lie clearly apart, as those of a weak network, it keeps more of the distance d: what chance does not
    explain of its square, 1 − s²/(n d²) (James and Stein 1961).
    """
    middle, spread = usual(values, least_spread)
    middles, spreads = np.full(len(values), middle), np.full(len(values), spread)
    for fold in set(folds):
        mine = np.array([each == fold for each in folds])
        known = int(np.isfinite(values[mine]).sum())
        if known >= LEAST_OF_FOLD:
            own_middle, own_spread = usual(values[mine], least_spread)
            apart, wider = own_middle - middle, np.log(own_spread / spread)
            middles[mine] += apart * _own_weight(apart, max(own_spread, spread), known)
            spreads[mine] *= np.exp(wider * _own_weight(wider, 1.0, known))
    return middles, spreads


def _own_weight(apart: float, spread: float, known: int) -> float:
    """How much of its distance from all folds together a fold keeps; `spread` / √n of it is chance."""
    clear = 1 - spread**2 / known / apart**2 if apart and known > FOLD_CASES else 0.0
    return max(known / (known + FOLD_CASES), clear)


def deviations(values: Floats, folds: Sequence[str], least_spread: float = 0.0) -> Floats:
    """Return (N,) values in units of their fold's spread from its middle, within ± `LARGEST_Z`; NaN stays NaN."""
    middle, spread = usual_by_fold(values, folds, least_spread)
    return np.clip((values - middle) / spread, -LARGEST_Z, LARGEST_Z)


def as_elsewhere(values: Floats, folds: Sequence[str]) -> Floats:
    """Judge the cases of a fold that has far more unusual ones than the others by their ranks.

    Cases fall into folds by chance, so about as many labels are wrong in each. Where far more lie beyond what a tenth
    of the other folds' cases reach (binomial test), it is the network that is weak, and not the labels. Each case's
    value is then the others' at its rank, where that is lower.
    """
    result, names, known = values.copy(), np.array(folds), np.isfinite(values)
    for fold in set(folds):
        mine, others = known & (names == fold), values[known & (names != fold)]
        if min(int(mine.sum()), len(others)) < FOLD_CASES:
            continue
        far = values[mine] > np.quantile(others, 1 - FAR_SHARE)
        if stats.binomtest(int(far.sum()), len(far), FAR_SHARE, "greater").pvalue < FAR_CHANCE:
            ranks = (stats.rankdata(values[mine]) - 0.5) / len(far)
            result[mine] = np.minimum(values[mine], np.quantile(others, ranks))
    return result
