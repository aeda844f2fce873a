"""Two trainers by several trainings each: a method does not differ from itself, and a real difference is found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from nnunetv2_dale.report.paired_statistics import Floats, paired_t_test
from nnunetv2_dale.report.repeated_trainings import interval, training_statistics

BETWEEN_TRAININGS, BETWEEN_CASES, WITHIN = 1.5, 8.0, 3.0  # points of Dice, as in short trainings of small networks


def simulated(number: int, trainings: int, cases: int, difference: float = 0.0) -> Iterator[tuple[Floats, Floats]]:
    """Pairs of sides: cases that are hard for all, trainings that went better, and what no model explains."""
    rng = np.random.default_rng(0)
    for _ in range(number):
        hard = rng.normal(75, BETWEEN_CASES, cases)
        sides = (
            hard + rng.normal(0, WITHIN, (2, trainings, cases)) + rng.normal(0, BETWEEN_TRAININGS, (2, trainings, 1))
        )
        yield sides[0], sides[1] + difference


def called_different(pairs: Iterator[tuple[Floats, Floats]]) -> float:
    found = [interval(*pair, resamples=399) for pair in pairs]
    return float(np.mean([not low <= 0 <= high for low, high in filter(None, found)]))


@pytest.mark.parametrize("trainings", [2, 3])
def test_a_method_does_not_differ_from_itself(trainings: int) -> None:
    assert called_different(simulated(400, trainings, 40)) <= 0.07
    over_cases = [paired_t_test(candidate[0] - baseline[0]) for baseline, candidate in simulated(400, 1, 40)]
    assert (
        np.mean([p is not None and p < 0.05 for p in over_cases]) > 0.3
    )  # what one training a side would call different


def test_a_real_difference_is_found() -> None:
    assert called_different(simulated(100, 3, 40, difference=6.0)) > 0.8


def test_the_interval_is_that_of_a_loop_over_drawn_trainings_and_cases() -> None:
    baseline, candidate = next(simulated(1, 4, 30))
    rng, drawn = np.random.default_rng(1), []
    apart = [side + (side.mean(1) - side.mean())[:, None] * (np.sqrt(4 / 3) - 1) for side in (baseline, candidate)]
    for _ in range(3000):
        cases = rng.integers(30, size=30)
        means = [side[rng.integers(4, size=4)][:, cases].mean() for side in apart]
        drawn.append(means[1] - means[0])
    low, high = np.quantile(drawn, [0.025, 0.975])
    found = interval(baseline, candidate, resamples=3000)
    assert found is not None
    middle, spread = (found[0] + found[1]) / 2, found[1] - found[0]
    assert middle == pytest.approx((low + high) / 2, abs=0.2)
    assert 1.0 < spread / (high - low) < stats.t.ppf(0.975, 3) / 1.96  # wider, as t with 3 or more degrees of freedom


def test_the_interval_moves_with_the_difference_and_takes_patients_as_one() -> None:
    baseline, candidate = next(simulated(1, 3, 20))
    low, high = interval(baseline, candidate) or (0.0, 0.0)
    assert interval(baseline, candidate + 5) == pytest.approx((low + 5, high + 5))
    first, second = (np.repeat(side, 2, axis=1) for side in (baseline, candidate))
    patients = [f"patient {number // 2:02d}" for number in range(40)]
    assert interval(first, second, patients) == pytest.approx((low, high))
    same = np.full((3, 20), 0.5)
    assert interval(same, same) == (0.0, 0.0)


def test_the_t_test_is_over_trials() -> None:
    baseline, candidate = next(simulated(1, 3, 20))
    found = training_statistics(baseline, candidate, resamples=99)
    assert found.p_trials == pytest.approx(stats.ttest_rel(candidate.mean(1), baseline.mean(1)).pvalue)
    assert found.sd_trainings == pytest.approx(candidate.mean(1).std(ddof=1))
    one = training_statistics(baseline[:1], candidate, resamples=99)
    assert (one.ci95, one.p_trials, one.sd_trainings_baseline) == (None, None, None)
