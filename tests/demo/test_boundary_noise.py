import numpy as np
import pytest

from nnunetv2_dale.demo.boundary_noise import move_boundaries

SPACING_MM = (5.0, 2.0, 2.0)


def disc(radius: float = 12, size: int = 48, slices: int = 6) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.broadcast_to((np.hypot(x, y) < radius).astype(np.uint8), (slices, size, size)).copy()


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_without_wandering_the_label_is_unchanged():
    label = disc()
    label[:, 20:28, 20:28] = 2
    np.testing.assert_array_equal(move_boundaries(label, SPACING_MM, 0.0, np.random.default_rng(0)), label)


def test_boundaries_move_by_about_the_distance_asked_for():
    label, wander_mm = disc(slices=30), 3.0
    moved = move_boundaries(label, SPACING_MM, wander_mm, np.random.default_rng(0))
    y, x = np.mgrid[:48, :48] - 23.5
    distance_mm = np.abs(np.hypot(x, y) - 12) * 2
    changed = moved != label
    # a normal distance of standard deviation 3 mm: nearly nothing changes beyond 9 mm, about a third at 0.44 sd
    assert changed[:, distance_mm > 10].mean() < 0.01
    assert 0.2 < changed[:, (distance_mm > 1) & (distance_mm < 2)].mean() < 0.45


def test_more_wandering_is_less_agreement():
    label = disc() == 1
    agreement = [
        dice(label, move_boundaries(label.astype(np.uint8), SPACING_MM, mm, np.random.default_rng(1)) == 1)
        for mm in (0.5, 2.0, 4.0)
    ]
    assert agreement[0] > agreement[1] > agreement[2] > 0.6


def test_it_is_a_function_of_the_generator():
    label = disc()
    first, again, other = (move_boundaries(label, SPACING_MM, 2.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_one_voxel_is_not_lost(seed):
    label = disc()
    label[2, 24, 24] = 2
    moved = move_boundaries(label, SPACING_MM, 4.0, np.random.default_rng(seed))
    assert set(np.unique(moved)) == {0, 1, 2}


def test_background_alone_stays_background():
    empty = np.zeros((3, 16, 16), dtype=np.uint8)
    np.testing.assert_array_equal(move_boundaries(empty, SPACING_MM, 3.0, np.random.default_rng(0)), empty)
