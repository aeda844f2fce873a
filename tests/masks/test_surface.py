"""Surfaces as faces, and signed distances between them."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.masks.surface import signed_distances, surface_area, surface_of


def test_a_box_by_hand() -> None:
    mask = np.zeros((6, 7, 8), bool)
    mask[2:4, 2:5, 3:7] = True  # 2 x 3 x 4 voxels of 3 x 1 x 0.5 mm: 6 x 3 x 2 mm
    surface = surface_of(mask, (3.0, 1.0, 0.5))
    assert surface.area_mm2.sum() == pytest.approx(2 * (6 * 3 + 6 * 2 + 3 * 2))
    assert surface_area(mask, (3.0, 1.0, 0.5)) == pytest.approx(2 * (6 * 3 + 6 * 2 + 3 * 2))
    assert mask[tuple(surface.inside.T)].all()
    assert not mask[tuple(surface.outside.T)].any()


def test_the_border_of_the_image_is_no_surface() -> None:
    mask = np.zeros((4, 4, 4), bool)
    mask[:2] = True
    assert surface_of(mask, (1, 1, 1)).area_mm2.sum() == 16
    assert len(surface_of(np.ones((3, 3, 3), bool), (1, 1, 1)).area_mm2) == 0


def test_a_slice_has_a_length() -> None:
    mask = np.zeros((1, 5, 5), bool)
    mask[0, 1:3, 1:4] = True
    assert surface_of(mask, (999.0, 2.0, 0.5)).area_mm2.sum() == pytest.approx(2 * (2 * 2.0 + 3 * 0.5))


@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 9, 8)])
def test_the_area_is_that_of_all_faces(shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.4
    assert surface_area(mask, (3.0, 1.0, 0.5)) == pytest.approx(surface_of(mask, (3.0, 1.0, 0.5)).area_mm2.sum())


def test_distances_against_a_slow_search() -> None:
    rng = np.random.default_rng(0)
    spacing = np.array([2.5, 1.0, 0.7])
    first, second = (rng.random((5, 6, 7)) < 0.4 for _ in range(2))
    of_first, of_second = surface_of(first, spacing), surface_of(second, spacing)
    found = signed_distances(of_first, second, of_second)
    for number, centre in enumerate(of_first.centre_mm):
        nearest = min(np.linalg.norm(centre - other) for other in of_second.centre_mm)
        inside = second[tuple(of_first.inside[number])] and second[tuple(of_first.outside[number])]
        assert found[number] == pytest.approx(-nearest if inside else nearest, abs=1e-9)


def test_a_plane_moved_by_two_slices_of_three_mm() -> None:
    label, other = np.zeros((8, 4, 4), bool), np.zeros((8, 4, 4), bool)
    label[:5], other[:3] = True, True
    spacing = (3.0, 1.0, 1.0)
    distances = signed_distances(surface_of(label, spacing), other, surface_of(other, spacing))
    assert distances.tolist() == [6.0] * 16
    assert signed_distances(surface_of(other, spacing), label, surface_of(label, spacing)).tolist() == [-6.0] * 16


def test_nothing_to_measure_to() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    empty = np.zeros_like(mask)
    with pytest.raises(ValueError, match="surface"):
        signed_distances(surface_of(mask, (1, 1, 1)), empty, surface_of(empty, (1, 1, 1)))
