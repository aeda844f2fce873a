import numpy as np
import pytest

from nnunetv2_dale.demo.implicit_shapes import (
    Coordinates,
    ellipsoid,
    intersection,
    membership,
    paint,
    tube,
    union,
    without,
)


def points(*places: tuple[float, float, float]) -> Coordinates:
    """Single points (x, y, z)."""
    x, y, z = (np.array(axis, dtype=np.float32) for axis in zip(*places, strict=True))
    return Coordinates(x, y, z)


def test_the_grid_spans_the_field_of_view_with_voxel_centres():
    grid = Coordinates.of_grid((2, 31, 4))
    np.testing.assert_allclose(grid.x[0, 0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(grid.z[:, 0, 0], [-0.5, 0.5])
    np.testing.assert_allclose(grid.y[0, [0, -1], 0], [-0.8 + 0.8 / 31, 0.8 - 0.8 / 31])


def test_a_sphere_is_its_signed_distance():
    at = points((0, 0, 0), (0.5, 0, 0), (0, 0.3, 0.4), (1, 0, 0))
    np.testing.assert_allclose(ellipsoid(at, (0, 0, 0), (0.5, 0.5, 0.5)), [-0.5, 0, 0, 0.5], atol=1e-6)


def test_an_ellipsoid_turns_its_long_axis_from_x_to_y():
    at = points((0.4, 0, 0), (0, 0.4, 0))
    along_x = ellipsoid(at, (0, 0, 0), (0.5, 0.1, 0.5)) < 0
    along_y = ellipsoid(at, (0, 0, 0), (0.5, 0.1, 0.5), turn=np.pi / 2) < 0
    assert along_x.tolist() == [True, False]
    assert along_y.tolist() == [False, True]


def test_an_infinite_radius_makes_a_cylinder():
    at = points((0, 0, 0), (0, 0, 5))
    np.testing.assert_allclose(ellipsoid(at, (0, 0, 0), (0.5, 0.5, np.inf)), [-0.5, -0.5])


def test_a_tube_has_round_ends():
    at = points((0.5, 0.1, 0), (1.3, 0.4, 0))  # beside the middle; beyond the end by (0.3, 0.4)
    np.testing.assert_allclose(tube(at, (0, 0, 0), (1, 0, 0), radius=0.1), [0, 0.4], atol=1e-6)


def test_set_operations():
    a, b = np.float32([-1, -1, 1, 1]), np.float32([-1, 1, -1, 1])
    assert (union(a, b) < 0).tolist() == [True, True, True, False]
    assert (intersection(a, b) < 0).tolist() == [True, False, False, False]
    assert (without(a, b) < 0).tolist() == [False, True, False, False]


def test_membership_is_one_half_on_the_surface_and_as_gradual_as_its_width():
    np.testing.assert_allclose(membership(np.float32([-9, 0, 9]), 0.1), [1, 0.5, 0], atol=1e-6)
    sharp, gradual = (membership(np.float32([-0.05]), width)[0] for width in (0.01, 0.1))
    assert sharp == pytest.approx(1 / (1 + np.exp(-5)))
    assert gradual == pytest.approx(1 / (1 + np.exp(-0.5)))


def test_paint_mixes_by_share():
    image = np.zeros(3, dtype=np.float32)
    paint(image, np.float32([-9, 0, 9]), 100.0, width=0.1)
    np.testing.assert_allclose(image, [100, 50, 0], atol=1e-3)


def test_bending_moves_points_a_little_and_only_in_plane():
    grid = Coordinates.of_grid((4, 16, 16))
    bent = grid.bent(np.random.default_rng(0), amplitude=0.03)
    moved = np.hypot(bent.x - grid.x, bent.y - grid.y)
    assert bent.z is grid.z
    assert 0.005 < moved.mean() < 0.08
    steps = np.diff(bent.x, axis=2)
    assert steps.min() > 0  # no folding
