"""Hard is not wrong, and a habit of the networks is no finding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnunetv2_dale.audit.components import Component
from nnunetv2_dale.audit.displacement import Displacement
from nnunetv2_dale.audit.evidence import CaseEvidence, ClassEvidence
from nnunetv2_dale.audit.null_model import two_groups
from nnunetv2_dale.audit.unusual import unusual_cases, unusual_class

AFFINE = tuple(tuple(row) for row in np.eye(4).tolist())


def displaced(mean: float, absolute: float, shift: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Displacement:
    return Displacement(mean, absolute, (mean,) * 21, shift, 0.9, 0.9, (1, 1, 1), (2, 2, 2), 1000.0)


def evidence(case: str, found: Displacement | None, soft: float | None = None, missed: int = 0) -> CaseEvidence:
    parts = (Component(missed, (3, 3, 3), None),) if missed else ()
    row = ClassEvidence(1000, 1000, 0.9 if found else 0.0, soft, found, (), parts, (), 1000)
    return CaseEvidence(case, "0", 1, (1.0, 1.0, 1.0), AFFINE, False, {"1": row}, None)


def study(count: int = 40, habit: float = 0.0, seed: int = 0) -> list[CaseEvidence]:
    """Right labels: displaced by the habit and a little at random."""
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        mean, shift = habit + rng.normal(0, 0.1), tuple(rng.normal(0, 0.3, 3).tolist())
        cases.append(evidence(f"case_{number:02d}", displaced(mean, 0.5 * np.exp(rng.normal(0, 0.1)), shift)))
    return cases


def chances(cases: list[CaseEvidence]) -> np.ndarray:
    return two_groups(unusual_cases([unusual_class(cases, "1")])).chance


def test_a_habit_of_the_networks_is_no_finding() -> None:
    with_habit, without = study(habit=1.0), study(habit=0.0)
    assert chances(with_habit) == pytest.approx(chances(without), abs=1e-6)
    assert unusual_class(with_habit, "1").habit_mm == pytest.approx(1.0, abs=0.1)
    assert chances(with_habit).max() < 0.5


@pytest.mark.parametrize(
    "found",
    [displaced(1.0, 1.0), displaced(-1.0, 1.0), displaced(0.0, 1.5, (0.0, 4.0, 0.0)), displaced(0.0, 2.0)],
    ids=["wider", "narrower", "shifted", "to both sides"],
)
def test_one_wrong_label_stands_out(found: Displacement) -> None:
    cases = study()
    cases[7] = evidence("wrong", found)
    chance = chances(cases)
    assert int(np.argmax(chance)) == 7
    assert chance[7] > 0.5 > np.sort(chance)[-2]


def test_a_missed_object_stands_out_and_a_speck_does_not() -> None:
    cases = study()
    cases[3] = evidence("missed", None, missed=1000)
    cases[4] = evidence("speck", displaced(0.0, 0.5), missed=3)
    chance = chances(cases)
    assert chance[3] > 0.8
    assert chance[4] < 0.3


def test_a_hard_case_is_allowed_more() -> None:
    rng = np.random.default_rng(1)
    cases = []
    for number in range(60):  # twice the unsure rim, twice the displacement
        rim = float(np.exp(rng.uniform(-0.7, 0.7)))
        found = displaced(rim * rng.normal(0, 0.1), rim * 0.5, tuple((rim * rng.normal(0, 0.3, 3)).tolist()))
        cases.append(evidence(f"case_{number:02d}", found, soft=1000 * rim))
    hard, easy = displaced(0.5, 1.0), displaced(0.5, 1.0)
    cases[0], cases[1] = evidence("hard", hard, soft=2000.0), evidence("easy", easy, soft=500.0)
    unusual = unusual_class(cases, "1")
    assert unusual.difficulty[0] == pytest.approx(4 * unusual.difficulty[1], rel=0.2)
    assert chances(cases)[1] > chances(cases)[0]


def test_no_difficulty_without_support() -> None:
    assert unusual_class(study(), "1").difficulty.tolist() == [1.0] * 40


def test_a_class_that_no_case_has() -> None:
    cases = [replace(case, classes={"1": ClassEvidence(0, 0, None, None, None, (), (), (), 0)}) for case in study(10)]
    assert chances(cases).max() == 0.0
