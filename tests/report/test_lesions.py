"""Lesions by hand, and against a search through all pairings with components grown voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nnunetv2_dale.report.lesions import lesion_counts
from nnunetv2_dale.report.report_data import LesionTotal
from tests.masks.test_connected_parts import grown

Mask = NDArray[np.bool_]
KEY = "1"


def line(*lesions: tuple[int, int], length: int = 40) -> Mask:
    """A row of voxels, of those from start to stop are lesions."""
    mask = np.zeros((1, length), bool)
    for start, stop in lesions:
        mask[0, start:stop] = True
    return mask


@pytest.mark.parametrize(
    ("prediction", "reference", "counts", "f1"),
    [
        (line(), line(), LesionTotal(KEY, 0, 0, 0), None),
        (line((0, 4)), line(), LesionTotal(KEY, 0, 1, 0), 0.0),
        (line(), line((0, 4), (6, 9)), LesionTotal(KEY, 2, 0, 0), 0.0),
        (line((0, 4)), line((0, 4)), LesionTotal(KEY, 1, 1, 1), 1.0),
        # one found, one missed, one false: 2 / (2 + 1 + 1)
        (line((0, 4), (20, 22)), line((1, 4), (10, 14)), LesionTotal(KEY, 2, 2, 1), 0.5),
        # IoU is 1 / 10: not above 0.1; 1 / 9 is
        (line((0, 1)), line((0, 10)), LesionTotal(KEY, 1, 1, 0), 0.0),
        (line((0, 1)), line((0, 9)), LesionTotal(KEY, 1, 1, 1), 1.0),
        # one prediction over two lesions (IoU 8 / 18 and 9 / 18) finds one of them: 2 / (2 + 0 + 1)
        (line((0, 18)), line((0, 8), (9, 18)), LesionTotal(KEY, 2, 1, 1), 2 / 3),
        # one lesion in two pieces is found once: 2 / (2 + 1 + 0)
        (line((0, 8), (9, 18)), line((0, 18)), LesionTotal(KEY, 1, 2, 1), 2 / 3),
    ],
)
def test_by_hand(prediction: Mask, reference: Mask, counts: LesionTotal, f1: float | None) -> None:
    assert lesion_counts(prediction, reference, KEY) == counts
    assert counts.f1() == f1


def test_the_best_pair_does_not_take_a_partner_from_another_lesion() -> None:
    # Lesions A (10 voxels) and B (4). Prediction P has IoU 7/15 with A and 3/13 with B; Q has 2/10 with A alone.
    # By the highest IoU first, P would take A and leave Q and B without a partner.
    prediction, reference = line((3, 15), (0, 2)), line((0, 10), (12, 16))
    assert lesion_counts(prediction, reference, KEY) == LesionTotal(KEY, 2, 2, 2)


def most_pairs(allowed: list[list[bool]], taken: frozenset[int] = frozenset()) -> int:
    """All ways to give each row a free column or none."""
    if not allowed:
        return 0
    first, *others = allowed
    with_first = [1 + most_pairs(others, taken | {n}) for n, may in enumerate(first) if may and n not in taken]
    return max([most_pairs(others, taken), *with_first])


@pytest.mark.parametrize("seed", range(40))
def test_against_all_pairings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (14, 16) if seed % 2 else (4, 8, 9)
    prediction, reference = (rng.random(shape) < rng.choice([0.1, 0.2, 0.3]) for _ in range(2))
    prediction |= reference & (rng.random(shape) < 0.5)
    true, predicted = grown(reference), grown(prediction)
    allowed = [[len(a & b) * 10 > len(a | b) for b in predicted] for a in true]
    expected = LesionTotal(KEY, len(true), len(predicted), most_pairs(allowed))
    assert lesion_counts(prediction, reference, KEY) == expected
    assert expected.f1() == 2 * expected.matched / (len(true) + len(predicted))
    assert lesion_counts(reference, prediction, KEY).matched == expected.matched
