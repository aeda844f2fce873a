"""The chance that a case is of the wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.audit.null_model import WRONG_MEAN_Z, trusted_group, wrong_and_right
from tests.audit.fixtures import normal


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
