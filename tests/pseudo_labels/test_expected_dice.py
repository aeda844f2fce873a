"""Expected Dice: by hand, by labels drawn from the probabilities, on networks that are too sure by a known amount."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from nnunetv2_dale.pseudo_labels.expected_dice import (
    Calibration,
    HeldOut,
    held_out_expectations,
    overlap_with,
    shifts,
)


def test_overlap_by_hand() -> None:
    found, support = np.array([True, True, False, False]), np.array([1.0, 0.5, 0.5, 0.0])
    assert overlap_with(found, support) == pytest.approx((2 * 1.5 + 1) / (2 + 2 + 1))


def test_nothing_found_where_nothing_is_supported_is_right() -> None:
    nothing = np.zeros(5, bool)
    assert overlap_with(nothing, np.zeros(5)) == 1
    assert overlap_with(nothing, np.full(5, 0.4)) == pytest.approx(1 / 3)


def test_overlap_is_the_mean_dice_with_labels_drawn_from_the_support() -> None:
    rng = np.random.default_rng(0)
    support = expit(rng.normal(0, 3, 20_000))
    found = support > 0.5
    drawn = [rng.random(support.shape) < support for _ in range(50)]
    dices = [2 * np.sum(found & label) / (found.sum() + label.sum()) for label in drawn]
    assert overlap_with(found, support) == pytest.approx(np.mean(dices), abs=0.002)


def cases(too_sure: float, count: int = 30, spread: float = 0.05) -> list[HeldOut]:
    """Networks whose sureness is `too_sure` above the Dice, in logits, and twice that in class 2."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(count):
        for label in (1, 2):
            overlap = rng.uniform(0.6, 0.95)
            dice = expit(logit(overlap) - label * too_sure + rng.normal(0, spread))
            rows.append(HeldOut(f"case_{number}", str(number % 3), label, overlap, float(dice)))
    return rows


def test_what_networks_are_too_sure_by_is_taken_off() -> None:
    found = shifts(cases(0.8))
    assert found[1] == pytest.approx(-0.8, abs=0.1)
    assert found[2] == pytest.approx(-1.6, abs=0.1)
    assert Calibration(found, {}).expected(1, 0.9, True) == pytest.approx(expit(logit(0.9) - 0.8), abs=0.02)


def test_wrong_labels_do_not_change_what_is_usual() -> None:
    rows = cases(0.8)
    wrong = [HeldOut(each.case, each.fold, each.label, each.overlap, 0.05) for each in rows[:8]]
    assert shifts([*wrong, *rows[8:]])[1] == pytest.approx(shifts(rows)[1], abs=0.1)


def test_a_class_of_few_cases_is_drawn_to_the_others_and_an_unknown_one_is_like_them() -> None:
    rows = cases(0.8)
    few = [each for each in rows if each.label == 1 or each.case in ("case_1", "case_2")]
    found = shifts(few)
    assert found[2] == found[0]
    assert len({Calibration(found, {}).expected(label, 0.9, True) for label in (2, 7)}) == 1


def test_a_labelled_case_is_expected_by_other_folds_alone() -> None:
    rows = cases(0.8)
    expected = held_out_expectations(rows)
    assert np.mean([abs(each - row.dice) for each, row in zip(expected, rows, strict=True)]) < 0.03
    without = [each for each in rows if each.fold != rows[0].fold]
    assert expected[0] == pytest.approx(Calibration.of(without).expected(1, rows[0].overlap, True))
    alone = [HeldOut(each.case, "0", each.label, each.overlap, each.dice) for each in rows]
    others = [each for each in alone if each.case != "case_0"]
    assert held_out_expectations(alone)[0] == pytest.approx(Calibration.of(others).expected(1, rows[0].overlap, True))


@pytest.mark.parametrize("absent", [2, 8, 30])
def test_a_lesion_that_many_cases_do_not_have_is_no_reason_to_trust_those_that_have_it(absent: int) -> None:
    """A rightly empty mask has a Dice of 1, and an overlap near 0."""
    rows = [each for each in cases(0.8) if each.label == 1]
    empty = [HeldOut(f"healthy_{number}", str(number % 3), 1, 0.05, 1.0, False) for number in range(absent)]
    missed = [HeldOut(f"missed_{number}", "0", 1, 0.02, 0.0, False) for number in range(absent // 2)]
    known = Calibration.of([*rows, *empty, *missed])
    assert known.expected(1, 0.6, True) == Calibration.of(rows).expected(1, 0.6, True)
    right = known.expected(1, 0.05, False)
    assert right == pytest.approx(absent / (absent + absent // 2))
    assert Calibration.of([*rows, *empty[:1]]).expected(1, 0.05, False) == 0.05  # one case is no share
    assert Calibration.of(empty).expected(1, 0.6, True) == pytest.approx(0.6)  # nothing was ever found
