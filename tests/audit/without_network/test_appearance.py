"""How much each class says of a move, and of what is not shifted though its middle lies elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnunetv2_dale.audit.audit_task import AuditedClass
from nnunetv2_dale.audit.without_network.appearance import appearance_hints, expected_gains
from nnunetv2_dale.audit.without_network.intensities import steps
from nnunetv2_dale.audit.without_network.places import _moved_as_a_whole, ends_of, places_of
from nnunetv2_dale.audit.without_network.records import CaseRecord, ClassRecord, Part, Share

CLASSES = (AuditedClass("1", "ball", (1,)), AuditedClass("2", "rod", (2,)))
MOVES = steps(planar=False)
CASES = 40


def fits(sharp: tuple[float, float, float], moved: tuple[int, int, int], seed: int) -> np.ndarray:
    """(V,) a fit that falls with the square of the distance from the right place, faster along sharp axes."""
    away = (MOVES + np.array(moved)) * np.array(sharp)
    noise = np.random.default_rng(seed).normal(0, 0.1, len(MOVES))
    return np.asarray(-np.square(away).sum(axis=1) + noise, np.float32)


def case(number: int, moved: tuple[int, int, int] = (0, 0, 0), rod_mm: float = 100.0) -> CaseRecord:
    """A ball above the lower end of a rod along z; the label was moved by some steps."""
    rng = np.random.default_rng(number)
    classes = {}
    for key, z, length, sharp in (("1", 60.0, 20.0, (0.6, 0.6, 0.6)), ("2", rod_mm / 2, rod_mm, (1.0, 1.0, 0.0))):
        middle = np.array([0.0, 0.0, z]) + rng.normal(0, 1, 3)
        half = np.array([10.0, 10.0, length / 2])
        nothing, around = Share(0, None), np.zeros((3, 3, 3), np.float32) + np.arange(3, dtype=np.float32)
        fit = fits(sharp, moved, 2 * number + int(key))
        part = Part(1000, (1, 1, 1), middle)
        corners = np.array([middle - half, middle + half])
        classes[key] = ClassRecord(1000, (part,), corners, False, nothing, nothing, 2.0, around, fit)
    ends = np.array([[-200.0] * 3, [200.0] * 3])
    return CaseRecord(f"case_{number}", "", (1.0,) * 3, np.eye(4), (400,) * 3, classes, rng.normal(0, 1, 3), ends)


def test_a_rod_says_nothing_of_moves_along_it_by_hand() -> None:
    """The fit falls by |move|² on the way there and on the way back: 2 |move|² in spreads of two noises' difference."""
    gains = np.stack([fits((1.0, 1.0, 0.0), (0, 0, 0), seed) for seed in range(400)]).astype(np.float64)
    gains -= gains[:, [len(MOVES) // 2]]
    found = dict(zip(map(tuple, MOVES.tolist()), expected_gains(gains).tolist(), strict=True))
    spread = 0.1 * np.sqrt(2)
    assert found[1, 0, 0] == pytest.approx(2 / spread, rel=0.15)
    assert found[2, -1, 3] == pytest.approx(10 / spread, rel=0.15)
    assert found[0, 0, 3] == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("moved", [(0, 0, 2), (0, 0, -2), (1, 0, 0)])
def test_a_move_is_found_though_most_classes_do_not_feel_it(moved: tuple[int, int, int]) -> None:
    records = [case(number, moved if number == 7 else (0, 0, 0)) for number in range(CASES)]
    shifted = {hint.number: hint for hint in appearance_hints(records, CLASSES, 5.0) if hint.kind == "shifted"}
    assert max(shifted.values(), key=lambda hint: hint.chance).number == 7
    assert shifted[7].chance > 5 * sorted(hint.chance for hint in shifted.values())[-2]
    assert shifted[7].size > 0.9 * 5 * np.linalg.norm(moved)


def test_what_lacks_one_end_is_not_shifted() -> None:
    """The upper 40 mm of a rod of 100 mm: one end stayed. A whole rod that lies 30 mm higher: both went along."""
    records = [case(number) for number in range(CASES)]
    rod, up = records[7].classes["2"], np.array([0, 0, 30.0])
    for low_mm, is_shifted in ((60.0, False), (30.0, True)):
        high_mm = 100.0 if not is_shifted else 130.0
        corners = np.array([[-10.0, -10.0, low_mm], [10.0, 10.0, high_mm]])
        part = Part(400, (1, 1, 1), np.array([0, 0, (low_mm + high_mm) / 2]))
        moved = replace(rod, parts=(part,), corners_mm=corners)
        changed = [*records[:7], replace(records[7], classes=records[7].classes | {"2": moved}), *records[8:]]
        assert _moved_as_a_whole(up, ends_of(places_of(changed, ["1", "2"]), 1, changed), 7) == is_shifted
