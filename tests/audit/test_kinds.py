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

AFFINE = tuple(tuple(row) for row in np.eye(4).tolist())


def row(mean: float = 0.0, gain: float = 0.0, shift: float = 0.0) -> ClassEvidence:
    """A class whose border lies `mean` mm off; moving it back by `shift` mm betters it by `gain` Dice."""
    absolute = max(0.5, abs(mean), shift)
    found = Displacement(mean, absolute, (mean,) * 21, (0.0, 0.0, shift), 0.8, 0.8 + gain, (1, 1, 1), (2, 2, 2), 100.0)
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
