"""Hard is not wrong, and a habit of the networks is no finding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nnunetv2_dale.audit.components import Component
from nnunetv2_dale.audit.displacement import Displacement
from nnunetv2_dale.audit.evidence import CaseEvidence, ClassEvidence
from nnunetv2_dale.audit.image_borders import ImageAtBorders
from nnunetv2_dale.audit.null_model import wrong_and_right
from nnunetv2_dale.audit.unusual import unusual_cases, unusual_class

AFFINE = tuple(tuple(row) for row in np.eye(4).tolist())
AREA = 1000.0


def displaced(mean: float, absolute: float, shift: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Displacement:
    moved = 0.9 + 0.09 * min(1.0, float(np.linalg.norm(shift)) / 4)  # a shift of 4 mm explains nearly all
    return Displacement(mean, absolute, (mean,) * 21, shift, 0.9, moved, (1, 1, 1), (2, 2, 2))


def evidence(
    case: str, found: Displacement | None, unsure: float = 0.0, missed: int = 0, fold: str = "0"
) -> CaseEvidence:
    """A case of one class whose volumes are its displacements times its area."""
    parts = (Component(missed, (3, 3, 3), None),) if missed else ()
    excess, apart = (found.mean_mm * AREA, found.absolute_mm * AREA) if found else (-1000.0, 1000.0)
    row = ClassEvidence(1000, 1000, 0.9 if found else 0.0, excess, apart, unsure, AREA, found, (), parts, (), 1000)
    return CaseEvidence(case, fold, 1, (1.0, 1.0, 1.0), AFFINE, False, {"1": row}, None, None)


def study(count: int = 40, habit: float = 0.0, seed: int = 0) -> list[CaseEvidence]:
    """Right labels: displaced by the habit and a little at random."""
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        mean, shift = habit + rng.normal(0, 0.1), tuple(rng.normal(0, 0.3, 3).tolist())
        cases.append(evidence(f"case_{number:02d}", displaced(mean, 0.5 * np.exp(rng.normal(0, 0.1)), shift)))
    return cases


def chances(cases: list[CaseEvidence]) -> np.ndarray:
    return wrong_and_right(unusual_cases([unusual_class(cases, "1")])).chance


def test_a_habit_of_the_networks_is_no_finding() -> None:
    with_habit, without = study(habit=1.0), study(habit=0.0)
    assert chances(with_habit) == pytest.approx(chances(without), abs=1e-6)
    assert unusual_class(with_habit, "1").habit_mm[0] == pytest.approx(1.0, abs=0.1)
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


def test_a_class_that_fills_the_image_is_usual_and_one_that_fills_it_wrongly_is_not() -> None:
    filled = ClassEvidence(4096, 4096, 1.0, 0.0, 0.0, 0.0, 0.0, None, (), (), (), 4096)
    without = replace(filled, referees_voxels=0, dice=0.0, excess_voxels=4096.0, apart_voxels=4096.0)
    cases = [replace(each, classes={"1": filled}) for each in study()]
    found = unusual_class(cases, "1")
    assert found.wider.tolist() == found.restless.tolist() == [0.0] * len(cases)
    assert chances(cases).max() < 0.5
    cases[5] = replace(cases[5], classes={"1": without})
    assert int(np.argmax(chances(cases))) == 5
    assert chances(cases)[5] > 0.9


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
    for number in range(60):  # twice as unsure, twice as far apart
        hard = float(np.exp(rng.uniform(-0.7, 0.7)))
        found = displaced(hard * rng.normal(0, 0.1), hard * 0.5 * np.exp(rng.normal(0, 0.1)))
        cases.append(evidence(f"case_{number:02d}", found, unsure=500 * hard))
    cases[0] = evidence("hard", displaced(0.3, 1.0), unsure=1000.0)
    cases[1] = evidence("easy", displaced(0.3, 1.0), unsure=250.0)
    assert chances(cases)[0] < 0.2 < 0.8 < chances(cases)[1]


def test_a_difference_as_large_as_expected_is_by_hand() -> None:
    """apart = unsure: their ratio is 1 whatever the size; its logarithm is 0, as is the middle of such cases."""
    cases = [
        evidence(f"case_{number:02d}", displaced(0.0, size), unsure=size * AREA)
        for number, size in enumerate(np.linspace(0.2, 2.0, 20))
    ]
    assert unusual_class(cases, "1").restless == pytest.approx(np.zeros(20), abs=1e-9)
    cases[4] = evidence("twice", displaced(0.0, 0.8), unsure=400.0)  # log((800 + 100) / (400 + 100)) / 0.1
    assert unusual_class(cases, "1").restless[4] == pytest.approx(np.log(900 / 500) / 0.1, rel=0.2)


def test_a_label_that_has_nothing_in_common_is_the_most_unusual() -> None:
    cases = study()
    cases[3] = evidence("apart", None, missed=1000)
    cases[5] = evidence("wider", displaced(1.0, 1.0))
    chance = unusual_cases([unusual_class(cases, "1")])
    assert np.argsort(-chance)[:2].tolist() == [3, 5]


def test_every_fold_has_its_own_habit_and_quality() -> None:
    """A network that draws 1 mm narrower than the other, and wavers three times as much."""
    good, bad = study(seed=1), study(seed=2)
    waver = [
        evidence(each.case, displaced(1.0 + 3 * found.mean_mm, 3 * found.absolute_mm), fold="1")
        for each in bad
        if (found := each.classes["1"].displacement) is not None
    ]
    cases = [*good, *waver]
    assert chances(cases).max() < 0.5
    cases[0] = evidence("wrong of the good fold", displaced(1.0, 1.0))
    chance = chances(cases)
    assert int(np.argmax(chance)) == 0
    assert chance[0] > 0.5 > np.sort(chance)[-2]


def test_a_class_that_no_case_has() -> None:
    nothing = ClassEvidence(0, 0, None, 0.0, 0.0, 0.0, 0.0, None, (), (), (), 0)
    cases = [replace(case, classes={"1": nothing}) for case in study(10)]
    assert chances(cases).max() == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_right_labels_of_a_weak_fold_are_no_findings_and_hide_no_errors_elsewhere(seed: int) -> None:
    """Of three folds of 15 the last one's network is four times as far off."""
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(45):
        times = 4.0 if number >= 30 else 1.0
        apart = 0.5 * times * np.exp(rng.normal(0, 0.1 * times))
        moved = displaced(rng.normal(0, 0.1 * times), apart, tuple((rng.normal(0, 0.3, 3) * times).tolist()))
        cases.append(evidence(f"case_{number:02d}", moved, fold=str(number // 15)))
    right = chances(cases)
    assert (right[30:] >= 0.2).sum() <= 3
    assert (right[:30] >= 0.2).sum() <= 1
    cases[3] = evidence("wrong", displaced(1.0, 1.0), fold="0")
    assert chances(cases)[3] > 0.9


def test_where_nearly_half_is_drawn_wider_the_image_tells_which_half() -> None:
    """The networks' border lies in between, so without the image right labels are as unusual as wrong ones."""
    rng, wrong = np.random.default_rng(5), np.arange(100) < 45
    cases = []
    for number, is_wrong in enumerate(wrong):
        mean = (0.5 if is_wrong else -0.4) + rng.normal(0, 0.15)
        case = evidence(f"case_{number:02d}", displaced(mean, 0.6))
        image = ImageAtBorders(rng.normal(-0.3 if is_wrong else 0.3, 0.2), 1.0)
        cases.append(replace(case, classes={"1": replace(case.classes["1"], image=image)}))
    found = unusual_class(cases, "1")
    assert roc_auc_score(wrong, found.squares) > 0.95
    assert np.median(found.excess_mm[~wrong]) == pytest.approx(0, abs=0.1)  # the habit is that of the right ones
    assert np.median(found.excess_mm[wrong]) == pytest.approx(0.9, abs=0.1)
    assert chances(cases)[wrong].mean() > 0.5 > 3 * chances(cases)[~wrong].mean()
    blind = [replace(case, classes={"1": replace(case.classes["1"], image=None)}) for case in cases]
    assert roc_auc_score(wrong, unusual_class(blind, "1").squares) < 0.8
