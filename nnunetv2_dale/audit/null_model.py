"""The chance that a case's label is wrong, learned from the audited cases themselves.

A case that lies z spreads above the middle of what is usual is judged by a mixture of two groups (Efron 2001, the
local false discovery rate). Right labels follow a Student t distribution, with tails a little heavier than a normal
one's, wrong ones a broad gamma distribution above it. The share of wrong ones is estimated from all cases together by
expectation maximisation:

    chance = π f1(z) / (π f1(z) + (1 − π) f0(z)).

Right labels of hard cases lie as far from their networks as wrong ones do. The image tells them apart: it shows the
border of a right label, and not that of a wrong one. With e, the border it shows in spreads above what is usual,
g0 a Student t distribution around 0, g1 the same around −`AGAINST`, and ρ the share of those right ones, also estimated
from all cases,

    chance = π f1(z) g1(e) / (π f1(z) g1(e) + ρ f1(z) g0(e) + (1 − π − ρ) f0(z) g0(e)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from nnunetv2_dale.statistics.usual_values import LARGEST_Z, Floats, usual

MOST_DEGREES = 12.0  # of freedom of the right labels' t distribution
WRONG_MEAN_Z = 5.0  # of the wrong labels' gamma distribution
MANY_WRONG = 0.25  # share of the upper of two groups, from which the lower one is the bulk
MOST_WRONG = 0.6  # share of it: a broad upper group takes some of the lower one's cases
CLEANLY_APART = 2.0  # Ashman's D (1994, Astronomical Journal 108), from which two groups are told apart cleanly
LEAST_OF_GROUPS = 30  # cases
UPPER_SHARES = (0.5, 0.35, 0.2)  # with which the two groups are looked for
LEAST_GROUP_SPREAD = 0.05
PRIOR_WRONG, PRIOR_CASES = 0.05, 20.0  # what is known before: as if of 20 cases 5 % had been found wrong
AGAINST, IMAGE_DEGREES = 2.4, 5.0  # spreads by which the image is against wrong labels; of freedom
FIRST_HARD = 0.01  # share of the right labels far from their networks, from which the estimate starts
USUAL_SPREAD, USUAL_CASES = 0.5, 10.0  # of the cube root of a sum of a few squared deviations, where all is right


@dataclass(frozen=True)
class WrongAndRight:
    """Cases told apart: `z` in spreads of the right ones above their middle, `chance` of being of the wrong ones."""

    z: Floats
    chance: Floats


def wrong_and_right(values: Floats, image: Floats | None = None) -> WrongAndRight:
    """Return the chance that each case is of the wrong ones (see the top of this module).

    Args:
        values: (N,) cube roots of sums of squared deviations; large is suspicious, and right cases are nearly normal.
            With few cases their spread stays near `USUAL_SPREAD`. NaN: there is nothing to judge.
        image: (N,) of `image_of_cases`; without, it says nothing.
    Returns:
        (N,) each; the chance is 0 below the middle and, where the image says the same, rises with the value. Few cases
        make far values less surprising: the t distribution has half as many degrees of freedom as there are cases. NaN
        gets the least z and the chance 0.
    """
    known = np.isfinite(values)
    if not known.all():
        found = wrong_and_right(values[known], None if image is None else image[known])
        z, chance = np.full(len(values), -LARGEST_Z), np.zeros(len(values))
        z[known], chance[known] = found.z, found.chance
        return WrongAndRight(z, chance)
    count = len(values)
    if count < 3:
        return WrongAndRight(np.zeros(count), np.zeros(count))
    middle, own_spread = trusted_group(values) or usual(values)
    # What is known before counts as if of some cases more.
    before = USUAL_CASES * USUAL_SPREAD**2
    spread = float(np.sqrt((count * own_spread**2 + before) / (count + USUAL_CASES)))
    z = np.clip((values - middle) / spread, -LARGEST_Z, LARGEST_Z)
    return WrongAndRight(z, chance_of(z, float(np.clip((count - 1) / 2, 1.0, MOST_DEGREES)), image=image))


def trusted_group(values: Floats) -> tuple[float, float] | None:
    """Return the middle and spread of the lower of two groups, where more than a quarter of the cases are wrong.

    So many wrong cases widen the bulk that `usual` finds. Then two normal distributions (by expectation maximisation)
    explain the cases better than one does, the Bayesian information criterion says. The lower group has to hold
    about half of the cases, and both have to lie cleanly apart, D = √2 |μ₁ − μ₂| / √(σ₁² + σ₂²) > 2: the heavy tail of
    right labels on hard data does not.

    Args:
        values: (N,) as `wrong_and_right` takes them, none NaN.
    Returns:
        None where there is one group, or fewer than `LEAST_OF_GROUPS` cases.
    """
    if len(values) < LEAST_OF_GROUPS:
        return None
    two = two_groups(values, UPPER_SHARES)
    if two is None:
        return None
    lower, upper = np.argsort(two.means_[:, 0])
    if not MANY_WRONG < two.weights_[upper] < MOST_WRONG:
        return None
    return float(two.means_[lower, 0]), float(np.sqrt(two.covariances_[lower, 0, 0]))


def two_groups(values: Floats, uppers: Sequence[float]) -> Any:
    """Fit two normal distributions (scikit-learn's mixture) to values (N,), from each of the upper group's shares.

    Returns:
        None where one explains the values as well, or the two do not lie cleanly apart, see `trusted_group`.
    """
    one, *fits = (_groups(values, upper) for upper in (0.0, *uppers))
    two = max(fits, key=lambda each: float(each.lower_bound_))
    middles, spreads = two.means_[:, 0], np.sqrt(two.covariances_[:, 0, 0])
    is_apart = np.sqrt(2) * abs(middles[1] - middles[0]) > CLEANLY_APART * np.hypot(*spreads)
    return two if is_apart and two.bic(values[:, None]) < one.bic(values[:, None]) else None


def _groups(values: Floats, upper: float) -> Any:
    """Normal distributions: of all values, or of two groups, at first cut below the upper share."""
    from sklearn.mixture import GaussianMixture

    groups = [each for each in np.split(np.sort(values), [round(len(values) * (1 - upper))]) if len(each)]
    start = {
        "weights_init": [len(each) / len(values) for each in groups],
        "means_init": [[each.mean()] for each in groups],
        "precisions_init": [[[1 / (each.var() + LEAST_GROUP_SPREAD**2)]] for each in groups],
    }
    found = GaussianMixture(len(groups), reg_covar=LEAST_GROUP_SPREAD**2, max_iter=1000, tol=1e-4, **start)
    return found.fit(values[:, None])


def chance_of(z: Floats, degrees: float, wrong_mean_z: float = WRONG_MEAN_Z, image: Floats | None = None) -> Floats:
    """(N,) the chance that each case is of the wrong ones; it rises with z and falls with what the image shows.

    Args:
        z: (N,) spreads above the middle of the right ones.
        degrees: of freedom of their t distribution.
        wrong_mean_z: of the wrong ones' gamma distribution.
        image: (N,) e, see the top of this module; NaN where the image says nothing, −∞ where it cannot acquit.
    """
    order = np.argsort(z)
    far = stats.gamma.pdf(z, 2, scale=wrong_mean_z / 2) / stats.t.pdf(z, degrees)
    far[order] = np.maximum.accumulate(far[order])  # of three cases' t distribution the tail is the heavier one
    said = np.isfinite(image) if image is not None else np.zeros(len(z), bool)
    against = np.ones(len(z))
    if image is not None:
        right, wrong = (stats.t.pdf(image[said] + by, IMAGE_DEGREES) for by in (0, AGAINST))
        against[said] = wrong / right
    can_be_hard = np.ones(len(z)) if image is None else ~np.isneginf(image)
    share, hard = PRIOR_WRONG, FIRST_HARD if said.any() else 0.0
    for _ in range(300):
        odds = np.stack([share * far * against, hard * far * can_be_hard, np.full(len(z), 1 - share - hard)])
        chance, of_hard = (odds / odds.sum(axis=0))[:2]
        cases = len(z) + PRIOR_CASES
        share, hard = (chance.sum() + PRIOR_WRONG * PRIOR_CASES) / cases, of_hard.sum() / cases
    return np.asarray(chance)
