"""From values in a mask file to labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunetv2_dale.convert.label_values import BINARY, to_labels


def test_a_table_maps_every_value() -> None:
    mask = np.array([[0, 8], [4, 13]])
    assert to_labels(mask, {0: 0, 8: 1, 4: 2, 13: 0}).tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64, bool])
def test_zero_and_one_stay_in_any_type(dtype: type) -> None:
    labels = to_labels(np.array([0, 1, 1]).astype(dtype), BINARY)
    assert labels.tolist() == [0, 1, 1]
    assert labels.dtype == np.uint8


@pytest.mark.parametrize(("mask", "labels"), [([0, 255], [0, 1]), ([255, 255], [1, 1]), ([0, 0], [0, 0])])
def test_zero_and_255(mask: list[int], labels: list[int]) -> None:
    assert to_labels(np.array(mask, np.uint8), BINARY).tolist() == labels


def test_residue_of_jpeg_around_both_ends() -> None:  # the values PraNet's Kvasir masks hold
    mask = np.array([0, 1, 2, 3, 4, 5, 6, 7, 248, 249, 250, 251, 253, 254, 255], np.uint8)
    assert to_labels(mask, BINARY).tolist() == [0] * 8 + [1] * 7


def test_an_empty_lossy_mask_is_background() -> None:
    assert to_labels(np.array([0, 1, 2, 3], np.uint8), BINARY, lossy=True).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "mask",
    [
        [0, 1, 255],  # an ignore label, not residue
        [0, 1, 2],
        [0, 128, 255],  # half-transparent edge or a second class: not for us to decide
        list(range(256)),  # a picture, not a mask
        list(range(60)),  # dim, never white
        [-1, 0, 1],
        list(range(21)),  # lesions that are numbered, not the residue of a lossy file
        [0.0, 0.5, 1.0],
        [0.0, float("nan")],
        [0.0, float("inf")],
    ],
)
def test_what_is_not_clearly_a_label_is_refused(mask: list[float]) -> None:
    with pytest.raises(ValueError, match=r"unknown label values|not finite"):
        to_labels(np.array(mask), BINARY)


def test_the_report_names_values_and_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"unknown label values 128 \(1 voxel\); known are 0, 1$"):
        to_labels(np.array([0, 128]), BINARY)
    with pytest.raises(ValueError, match=r"unknown label values 5 \(2 voxels\), 9 \(1 voxel\); known are 0, 1, 2$"):
        to_labels(np.array([0, 1, 5, 9, 5]), {0: 0, 1: 1, 2: 2})


def test_a_volume_is_not_taken_for_a_lossy_picture() -> None:
    mask = np.concatenate([np.zeros(5000), np.arange(256)])
    assert to_labels(mask, BINARY).sum() == 128
    with pytest.raises(ValueError, match="254 in all"):
        to_labels(mask, BINARY, of_picture=False)


def test_a_threshold_decides_for_one_class_only() -> None:
    assert to_labels(np.array([0, 127, 128, 255]), BINARY, threshold=128).tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="one class"):
        to_labels(np.array([0, 1]), {0: 0, 1: 1, 2: 2}, threshold=1)


@given(st.lists(st.integers(0, 5), min_size=1), st.permutations(range(6)))
def test_equals_a_slow_loop(values: list[int], targets: list[int]) -> None:
    table = dict(enumerate(targets))
    assert to_labels(np.array(values), table).tolist() == [table[value] for value in values]


def test_labels_above_255_get_a_type_that_holds_them() -> None:
    labels = to_labels(np.array([0, 255, 256, 300], np.int32), {value: value for value in range(301)})
    assert labels.dtype == np.uint16
    assert labels.tolist() == [0, 255, 256, 300]
    assert to_labels(np.array([205, 850]), {0: 0, 205: 1, 850: 2}).tolist() == [1, 2]
    assert to_labels(np.array([0, 255]), {0: 0, 255: 255}).dtype == np.uint8


def test_whole_numbers_within_rounding_are_labels() -> None:
    below_one = np.nextafter(np.float32(1), np.float32(0))
    for one in (np.float32(0.9999), below_one, np.float32(1.0004)):
        assert to_labels(np.array([0, one], np.float32), {0: 0, 1: 1}).tolist() == [0, 1]
    assert to_labels(np.array([0, 3 * below_one], np.float32), {0: 0, 3: 1}).tolist() == [0, 1]
    assert to_labels(np.array([0, 127.99999]), {0: 0, 1: 1}, threshold=128).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"unknown label values 0\.99 \("):
        to_labels(np.array([0, 0.99]), {0: 0, 1: 1})
