"""What is usual among all cases, and in each fold."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.audit.null_model import wrong_and_right
from nnunetv2_dale.statistics.usual_values import as_elsewhere, deviations, usual, usual_by_fold
from tests.audit.fixtures import normal


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
    found_middle, found_spread = usual_by_fold(values, folds)
    (middle, spread), (own_middle, own_spread) = usual(values), usual(values[90:])
    assert found_middle[95] == pytest.approx((middle + own_middle) / 2)
    assert found_spread[95] == pytest.approx(np.sqrt(spread * own_spread))
    assert found_middle[5] == pytest.approx(0.1 * middle + 0.9 * usual(values[:90])[0])


def test_a_fold_that_lies_clearly_apart_keeps_its_own_by_hand() -> None:
    values, folds = np.concatenate([normal(80), 6 + 3 * normal(20)]), ["0"] * 80 + ["1"] * 20
    found_middle, found_spread = usual_by_fold(values, folds)
    (middle, spread), (own_middle, own_spread) = usual(values), usual(values[80:])
    kept = 1 - own_spread**2 / 20 / (own_middle - middle) ** 2
    assert kept > 20 / 30
    assert found_middle[90] == pytest.approx(middle + kept * (own_middle - middle))
    of_spread = 1 - 1 / 20 / np.log(own_spread / spread) ** 2
    assert found_spread[90] == pytest.approx(spread * (own_spread / spread) ** of_spread)
    assert found_middle[5] == pytest.approx(middle + 80 / 90 * (usual(values[:80])[0] - middle), abs=0.02)


def test_one_fold_is_what_is_usual_among_all() -> None:
    found_middle, found_spread = usual_by_fold(normal(30), ["2"] * 30)
    assert (found_middle[0], found_spread[0]) == pytest.approx(usual(normal(30)))


def test_of_a_fold_of_two_cases_nothing_is_known() -> None:
    values = np.concatenate([normal(30), [50.0, 60.0]])
    found_middle, _ = usual_by_fold(values, ["0"] * 30 + ["1"] * 2)
    assert found_middle[31] == pytest.approx(usual(values)[0])


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
