"""Bounding boxes against the indices of all voxels."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.masks.boxes import box_around, box_of, boxes_of_values


@pytest.mark.parametrize("shape", [(9, 11), (6, 8, 7), (1, 8, 7)])
def test_against_all_indices(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    labels = np.where(rng.random(shape) < 0.1, rng.integers(1, 6, shape), 0).astype(np.int16)
    labels[rng.random(shape) < 0.1] = -1  # nnU-Net's mark outside of the image, of no class
    expected = {}
    for value in np.unique(labels[labels > 0]).tolist():
        places = np.argwhere(labels == value)
        ends = zip(places.min(0).tolist(), places.max(0).tolist(), strict=True)
        expected[value] = tuple(slice(low, high + 1) for low, high in ends)
        assert box_of(labels == value) == expected[value]
    assert len(expected) > 1
    assert boxes_of_values(labels) == expected
    assert box_around(expected.values(), shape) == box_of(labels > 0)


def test_margins_end_at_the_border() -> None:
    mask = np.zeros((5, 20, 20), bool)
    mask[1, 8:10, 19] = True
    assert box_of(mask, 2) == (slice(0, 4), slice(6, 12), slice(17, 20))
    assert box_of(mask, (0, 1, 30)) == (slice(1, 2), slice(7, 11), slice(0, 20))


def test_nothing_has_no_box() -> None:
    assert box_of(np.zeros((3, 4), bool), 2) is None
    assert box_around([], (3, 4)) is None
    assert boxes_of_values(np.zeros((3, 4), np.uint8)) == {}
