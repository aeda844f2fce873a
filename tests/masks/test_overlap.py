"""Dice and IoU against sets of voxels."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.masks.overlap import dice, overlap


@pytest.mark.parametrize("seed", range(6))
def test_against_sets_of_voxels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (rng.random((3, 4, 5)) < share for share in (0.3, 0.5))
    a, b = ({tuple(place) for place in np.argwhere(mask)} for mask in (first, second))
    assert overlap(first, second) == (2 * len(a & b) / (len(a) + len(b)), len(a & b) / len(a | b))
    assert dice(first, second) == dice(second, first) == 2 * len(a & b) / (len(a) + len(b))


def test_empty_masks() -> None:
    empty, full = np.zeros((2, 3), bool), np.ones((2, 3), bool)
    assert overlap(empty, empty) is None
    assert dice(empty, empty) == 1.0
    assert overlap(empty, full) == overlap(full, empty) == (0.0, 0.0)
    assert overlap(full, full) == (1.0, 1.0)
