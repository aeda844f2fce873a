"""What is usual, and the chance that a case is not."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.audit.null_model import (
    WRONG_MEAN_Z,
    as_elsewhere,
    deviations,
    trusted_group,
    usual,
    usual_by_fold,
    wrong_and_right,
)


def normal(count: int, seed: int = 0) -> np.ndarray:
    """Quantiles of a normal distribution, shuffled: a sample without luck."""
    from scipy.stats import norm

    return np.random.default_rng(seed).permutation(norm.ppf((np.arange(count) + 0.5) / count))


def test_middle_and_spread_of_a_normal_sample() -> None:
    middle, spread = usual(5 + 2 * normal(400))
    assert middle == pytest.approx(5, abs=0.1)
    assert spread == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_wrong_labels_hardly_move_the_middle(share: float) -> None:
    values = normal(200)
    values[: int(200 * share)] = 8
    middle, spread = usual(values)
    assert abs(middle) < 0.35
    assert spread == pytest.approx(1, rel=0.3)


def test_too_few_say_nothing() -> None:
    assert usual(np.array([1.0, np.nan, 2.0])) == (0.0, float("inf"))
    assert wrong_and_right(np.array([1.0, 2.0])).chance.tolist() == [0, 0]
    assert wrong_and_right(np.zeros(0)).chance.shape == (0,)


def test_equal_values_have_a_least_spread() -> None:
    assert deviations(np.array([1.0, 1, 1, 1, 3]), ["0"] * 5, least_spread=0.5)[4] == pytest.approx(4.0)
    assert np.isnan(deviations(np.array([1.0, 1, 1, np.nan]), ["0"] * 4, 1.0)[3])


def test_a_fold_is_drawn_to_all_by_hand() -> None:
    """10 cases: half of the way from what is usual among all to what is usual in the fold."""
    values, folds = np.concatenate([normal(90), 4 + 3 * normal(10)]), ["0"] * 90 + ["1"] * 10
    found = usual_by_fold(values, folds)
    (middle, spread), (own_middle, own_spread) = usual(values), usual(values[90:])
    assert found.middle[95] == pytest.approx((middle + own_middle) / 2)
    assert found.spread[95] == pytest.approx(np.sqrt(spread * own_spread))
    assert found.middle[5] == pytest.approx(0.1 * middle + 0.9 * usual(values[:90])[0])


def test_a_fold_that_lies_clearly_apart_keeps_its_own_by_hand() -> None:
    values, folds = np.concatenate([normal(80), 6 + 3 * normal(20)]), ["0"] * 80 + ["1"] * 20
    found = usual_by_fold(values, folds)
    (middle, spread), (own_middle, own_spread) = usual(values), usual(values[80:])
    kept = 1 - own_spread**2 / 20 / (own_middle - middle) ** 2
    assert kept > 20 / 30
    assert found.middle[90] == pytest.approx(middle + kept * (own_middle - middle))
    of_spread = 1 - 1 / 20 / np.log(own_spread / spread) ** 2
    assert found.spread[90] == pytest.approx(spread * (own_spread / spread) ** of_spread)
    assert found.middle[5] == pytest.approx(middle + 80 / 90 * (usual(values[:80])[0] - middle), abs=0.02)


def test_one_fold_is_what_is_usual_among_all() -> None:
    found = usual_by_fold(normal(30), ["2"] * 30)
    assert (found.middle[0], found.spread[0]) == pytest.approx(usual(normal(30)))


def test_of_a_fold_of_two_cases_nothing_is_known() -> None:
    values = np.concatenate([normal(30), [50.0, 60.0]])
    found = usual_by_fold(values, ["0"] * 30 + ["1"] * 2)
    assert found.middle[31] == pytest.approx(usual(values)[0])


def test_folds_alike_keep_their_values() -> None:
    """A tenth of the labels is wrong, more of them in the first fold, as chance has it."""
    values = np.abs(normal(200))
    values[[*range(0, 60, 5), *range(70, 200, 20)]] += 5
    folds = ["0"] * 67 + ["1"] * 67 + ["2"] * 66
    np.testing.assert_array_equal(as_elsewhere(values, folds), values)


@pytest.mark.parametrize("seed", range(3))
def test_a_weak_folds_far_values_are_no_more_than_elsewhere(seed: int) -> None:
    """A third of the last fold's right labels lie far from its network."""
    values = 1 + 0.5 * normal(200, seed)
    values[134:156] += np.linspace(2, 4, 22)
    values[::15] += 4
    folds = ["0"] * 67 + ["1"] * 67 + ["2"] * 66
    judged = as_elsewhere(values, folds)
    np.testing.assert_array_equal(judged[:134], values[:134])
    order = np.argsort(values[134:])
    assert (np.diff(judged[134:][order]) >= 0).all()
    assert wrong_and_right(values).chance.sum() > 1.5 * 14
    assert wrong_and_right(judged).chance.sum() < 1.5 * 14


def test_right_labels_alone_are_not_accused() -> None:
    for seed in range(20):
        chance = wrong_and_right(0.5 * np.random.default_rng(seed).standard_normal(100)).chance
        assert chance.sum() < 6
        assert (chance > 0.5).sum() <= 1


def test_the_expected_number_is_near_the_true_one() -> None:
    values = normal(200)
    values[:20] += 6
    found = wrong_and_right(0.5 * values)
    assert found.chance[:20].min() > 0.5
    assert (found.chance[20:] > 0.5).sum() <= 1
    assert 17 < found.chance.sum() < 27


def test_the_chance_is_bayes_rule_by_hand() -> None:
    from scipy.stats import gamma, t

    values = 0.5 * normal(101)
    found = wrong_and_right(values)
    share = found.chance.sum() + 1.0  # 5 % of 20 cases known before
    share /= 101 + 20
    place = int(np.argmax(values))
    wrong, right = share * gamma.pdf(found.z[place], 2, scale=WRONG_MEAN_Z / 2), (1 - share) * t.pdf(found.z[place], 12)
    assert found.chance[place] == pytest.approx(wrong / (wrong + right), rel=1e-3)


def test_rises_with_the_value_even_from_three_cases() -> None:
    chance = wrong_and_right(np.array([0.0, 1.0, 1.1, 30.0, 60.0])).chance
    assert (np.diff(chance) >= 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_of_forty_percent_wrong_about_as_many_are_expected(seed: int) -> None:
    """Wrong ones from two to nine spreads above: the bulk alone would hold half of them."""
    values = 1 + 0.3 * normal(200, seed)
    values[:80] += np.random.default_rng(seed).uniform(0.6, 2.7, 80)
    found = trusted_group(values)
    assert found is not None
    assert found == pytest.approx((1, 0.3), abs=0.12)
    assert 80 / 1.5 < wrong_and_right(values).chance.sum() < 80 * 1.5


@pytest.mark.parametrize("wrong", [0, 10, 20, 40])
def test_of_fewer_wrong_ones_there_is_one_group(wrong: int) -> None:
    values = 1 + 0.3 * normal(200)
    values[:wrong] += 2.5
    assert trusted_group(values) is None
    assert trusted_group(values[:29]) is None


def test_a_heavy_tail_is_no_second_group() -> None:
    """As hard data have it: spreads that differ by a factor of two and more between cases."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        squares = (rng.standard_normal((300, 3)) * np.exp(rng.normal(0, 0.6, (300, 1)))) ** 2
        assert trusted_group(np.cbrt(squares.sum(axis=1))) is None
        missed = np.where(np.arange(300) < 90, 1 + rng.exponential(1.3, 300), 0.9 + 0.4 * rng.standard_normal(300))
        assert trusted_group(missed) is None  # three in ten that the networks see otherwise, from hardly to clearly
