"""What a case is said to have, from hand-made evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnunetv2_dale.audit.components import Component
from nnunetv2_dale.audit.displacement import Displacement
from nnunetv2_dale.audit.evidence import CaseEvidence, ClassEvidence
from nnunetv2_dale.audit.kinds import Suspicion, suspicions
from nnunetv2_dale.audit.unusual import unusual_class
from tests.audit.test_unusual import AFFINE


def row(mean: float = 0.0, gain: float = 0.0, shift: float = 0.0) -> ClassEvidence:
    """A class whose border lies `mean` mm off; moving it back by `shift` mm betters it by `gain` Dice."""
    absolute = max(0.5, abs(mean), shift)
    found = Displacement(mean, absolute, (mean,) * 21, (0.0, 0.0, shift), 0.8, 0.8 + gain, (1, 1, 1), (2, 2, 2))
    return ClassEvidence(1000, 1000, 0.8, 100 * mean, 100 * absolute, 50.0, 100.0, found, (), (), (), 1000)


def case(number: int, first: ClassEvidence, second: ClassEvidence, whole: ClassEvidence) -> CaseEvidence:
    classes = {"1": first, "2": second}
    return CaseEvidence(f"case_{number}", "0", 1, (1.0, 1.0, 1.0), AFFINE, False, classes, whole, None)


def found_in(odd: CaseEvidence) -> list[Suspicion]:
    """All that is said of one case among twenty usual ones."""
    rng = np.random.default_rng(0)
    usual = [case(number, *(row(mean) for mean in rng.normal(0, 0.05, 3).tolist())) for number in range(20)]
    cases = [odd, *usual]
    classes = [unusual_class(cases, key) for key in ("1", "2")]
    return suspicions(odd, 0, unusual_class(cases, ""), classes, 0.8)


def test_a_shift_of_the_whole_label_is_said_once() -> None:
    moved = row(gain=0.15, shift=2.0)
    (found,) = found_in(case(99, moved, moved, moved))
    assert (found.key, found.kind) == ("", "shifted")
    assert found.size_mm == pytest.approx(2.0)
    assert found.vector_mm == pytest.approx((0.0, 0.0, 2.0))


def test_a_shift_of_one_class_is_said_of_the_class() -> None:
    found = found_in(case(99, row(gain=0.15, shift=2.0), row(), row()))
    assert [(each.key, each.kind) for each in found if each.kind == "shifted"] == [("1", "shifted")]


def test_wider_is_said_of_each_class_with_its_size() -> None:
    found = {each.key: each for each in found_in(case(99, row(1.5), row(-1.0), row(0.3)))}
    assert (found["1"].kind, found["2"].kind) == ("wider", "narrower")
    assert found["1"].size_mm == pytest.approx(1.5, abs=0.1)
    assert found["2"].size_mm == pytest.approx(1.0, abs=0.1)
    assert found["1"].share == 1.0


def test_an_empty_label_is_all_that_is_said() -> None:
    lost = replace(row(), label_voxels=0, displacement=None, dice=0.0, missed=(Component(700, (3, 4, 5), None),))
    (found,) = found_in(case(99, lost, lost, lost))
    assert (found.key, found.kind, found.voxel) == ("", "empty", (3, 4, 5))


def test_the_upper_slices_of_a_vertebra_under_its_neighbours_name() -> None:
    """CTSpine1K #15: a part of its own, of the wrong class, is exchanged; its neighbour is not drawn wider."""
    part = Component(400, (7, 8, 9), "1")
    lower = replace(row(), label_voxels=600, excess_voxels=-400.0, apart_voxels=420.0, dice=0.75)
    upper = replace(row(), label_voxels=1400, excess_voxels=405.0, apart_voxels=420.0, dice=0.83, exchanged=(part,))
    (found,) = found_in(case(99, lower, upper, row()))
    assert (found.key, found.kind, found.other, found.voxel) == ("2", "exchanged", "1", (7, 8, 9))


def test_the_surface_that_is_displaced_is_what_lies_beyond_the_habit() -> None:
    """A tenth of the surface is 3 mm off, the rest lies where the networks draw it; they draw a little narrower."""
    some = row(0.4)
    assert some.displacement is not None
    part = replace(
        some, displacement=replace(some.displacement, quantiles_mm=(0.0,) * 18 + (3.0,) * 3, absolute_mm=0.4)
    )
    (found,) = [each for each in found_in(case(99, part, row(), row())) if each.key == "1"]
    assert found.kind == "wider"
    assert found.share == pytest.approx(0.15)
    assert found.size_mm == pytest.approx(2.5, abs=0.1)  # 1.5, 3 and 3 mm in the last three of 20 steps
