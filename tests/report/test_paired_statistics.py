"""Statistics against numbers worked out by hand, SciPy's paired forms, and the limits where nothing is defined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nnunetv2_dale.report.paired_statistics import (
    bootstrap_interval,
    detectable_difference,
    holm_adjusted,
    paired_statistics,
    paired_t_test,
    wilcoxon_test,
)


def pairs(n: int = 40, gain: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    baseline = rng.uniform(0.7, 0.9, n)
    return baseline, baseline + gain + rng.normal(0, 0.03, n)


def test_by_hand() -> None:
    # differences .10 .02 -.03 .005 .01: mean .021; .01 and .005 are within a point
    baseline = np.array([0.50, 0.60, 0.70, 0.80, 0.90 - 0.01])
    candidate = np.array([0.60, 0.62, 0.67, 0.805, 0.90])
    result = paired_statistics(baseline, candidate, same_within=0.01)
    assert result.difference == pytest.approx(0.021)
    assert result.median_difference == pytest.approx(0.01)
    assert (result.n_higher, result.n_same, result.n_lower) == (2, 2, 1)
    # t = mean / (sd / sqrt 5) = 0.021 / (0.0480104 / 2.23607)
    assert result.sd_difference == pytest.approx(0.0480104, abs=1e-6)
    assert result.p_ttest == pytest.approx(2 * stats.t.sf(0.021 / (0.0480104155 / 5**0.5), 4), rel=1e-6)


def test_tests_are_scipys_paired_ones() -> None:
    baseline, candidate = pairs()
    result = paired_statistics(baseline, candidate, 0.01)
    assert result.p_ttest == pytest.approx(stats.ttest_rel(candidate, baseline).pvalue)
    assert result.p_wilcoxon == pytest.approx(stats.wilcoxon(candidate, baseline).pvalue)


def test_interval_is_near_the_t_interval_and_repeatable() -> None:
    baseline, candidate = pairs(200)
    differences = candidate - baseline
    low, high = bootstrap_interval(differences) or (0, 0)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=3e-4)
    assert bootstrap_interval(differences) == (low, high)
    assert bootstrap_interval(differences, seed=1) != (low, high)


def test_repeating_each_case_of_a_patient_does_not_narrow_the_interval() -> None:
    baseline, candidate = pairs(30)
    alone = paired_statistics(baseline, candidate, 0.01)
    patients = [f"p{number}" for number in range(30)] * 4
    four_times = paired_statistics(np.tile(baseline, 4), np.tile(candidate, 4), 0.01, patients)
    assert four_times.n_patients == 30
    assert four_times.ci95 == pytest.approx(alone.ci95, abs=1e-3)
    assert four_times.p_ttest == pytest.approx(alone.p_ttest)
    assert four_times.p_wilcoxon == pytest.approx(alone.p_wilcoxon)
    assert four_times.detectable_difference == pytest.approx(alone.detectable_difference)
    naive = paired_statistics(np.tile(baseline, 4), np.tile(candidate, 4), 0.01)
    assert naive.p_ttest is not None
    assert four_times.p_ttest is not None
    assert naive.p_ttest < four_times.p_ttest


def test_holm_by_hand() -> None:
    # sorted .01 .02 .04 → .03, max(.03, .04), max(.04, .04); None takes no part
    first, none, *others = holm_adjusted([0.04, None, 0.01, 0.02])
    assert none is None
    assert [first, *others] == pytest.approx([0.04, 0.03, 0.04])
    assert holm_adjusted([None]) == [None]


def test_detectable_difference_has_that_power() -> None:
    differences = np.random.default_rng(0).normal(0, 0.0103, 260)
    smallest = detectable_difference(differences)
    assert smallest is not None
    noncentrality = smallest / differences.std(ddof=1) * 260**0.5
    critical = stats.t.ppf(0.975, 259)
    power = stats.nct.sf(critical, 259, noncentrality) + stats.nct.cdf(-critical, 259, noncentrality)
    assert power == pytest.approx(0.8, abs=1e-4)
    assert smallest == pytest.approx(0.0018, abs=1e-4)  # about 0.2 Dice points, as measured on Hippocampus


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7])
def test_few_cases_are_none_or_finite(n: int) -> None:
    baseline, candidate = pairs(n)
    result = paired_statistics(baseline, candidate, 0.01)
    assert result.n == n
    assert (result.difference is None) == (n == 0)
    assert (result.ci95 is None) == (n < 2)
    assert (result.p_ttest is None) == (n < 2)
    assert (result.detectable_difference is None) == (n < 3)
    numbers = [result.difference, *(result.ci95 or ()), result.p_ttest, result.p_wilcoxon, result.detectable_difference]
    assert all(number is None or np.isfinite(number) for number in numbers)


def test_no_spread() -> None:
    zeros, constant = np.zeros(10), np.full(10, 0.25)
    assert (paired_t_test(zeros), wilcoxon_test(zeros)) == (1.0, 1.0)
    assert bootstrap_interval(zeros) == (0.0, 0.0)
    assert bootstrap_interval(constant) == (0.25, 0.25)
    assert paired_t_test(constant) is None
    assert detectable_difference(constant) == 0.0


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        paired_statistics(np.zeros(3), np.zeros(4), 0.01)
