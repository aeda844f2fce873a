"""Objects that one side lacks or gives to another class."""

from __future__ import annotations

import numpy as np

from nnunetv2_dale.audit.components import compare_objects

KEYS = {1: "1", 2: "2"}


def blocks(**values: int) -> np.ndarray:
    """A row of three blocks a, b, c of 27, 8 and 8 voxels."""
    labels = np.zeros((5, 5, 20), np.uint8)
    labels[1:4, 1:4, 1:4] = values.get("a", 0)
    labels[1:3, 1:3, 8:10] = values.get("b", 0)
    labels[1:3, 1:3, 14:16] = values.get("c", 0)
    return labels


def test_missed_and_extra() -> None:
    found = compare_objects(blocks(a=1, c=1), blocks(a=1, b=1), [1], KEYS)
    assert [part.voxels for part in found.missed] == [8]
    assert [part.voxels for part in found.extra] == [8]
    assert found.missed[0].voxel[2] in (8, 9)
    assert found.extra[0].voxel[2] in (14, 15)
    assert found.exchanged == ()
    assert found.label_common.sum() == found.referees_common.sum() == 27
    assert found.typical_voxels == 27  # of the 35 voxels on the referees' side


def test_specks_beside_an_organ_do_not_make_a_typical_object_small() -> None:
    referees = blocks(a=1)
    referees[0, ::2, 10::2] = 1
    found = compare_objects(blocks(a=1), referees, [1], KEYS)
    assert len(found.missed) == 15
    assert found.typical_voxels == 27


def test_another_class_is_an_exchange() -> None:
    found = compare_objects(blocks(a=2, b=1), blocks(a=1, b=1), [1], KEYS)
    assert [(part.voxels, part.other) for part in found.exchanged] == [(27, "2")]
    assert found.missed == ()
    assert found.label_common.sum() == found.referees_common.sum() == 8


def test_overlapping_regions_are_never_exchanged() -> None:
    found = compare_objects(blocks(a=2), blocks(a=1), [1], {})
    assert [part.voxels for part in found.missed] == [27]


def test_the_place_is_inside_the_part() -> None:
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, 1:8, 1:8] = 1
    found = compare_objects(labels, np.zeros_like(labels), [1], KEYS)
    assert found.extra[0].voxel == (0, 4, 4)
