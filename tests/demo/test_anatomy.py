import numpy as np
import pytest

from nnunetv2_dale.demo.anatomy import bent, coordinates, ellipsoid, paint, telling_slice


def test_the_grid_spans_the_field_of_view_with_voxel_centres():
    x, y, z = coordinates((2, 31, 4))
    np.testing.assert_allclose(x[0, 0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(z[:, 0, 0], [-0.5, 0.5])
    np.testing.assert_allclose(y[0, [0, -1], 0], [-0.8 + 0.8 / 31, 0.8 - 0.8 / 31], rtol=1e-6)


@pytest.mark.parametrize(
    ("radii", "turn", "places", "expected"),
    [
        ((0.5, 0.5, 0.5), 0, [(0, 0, 0), (0.5, 0, 0), (0, 0.3, 0.4), (1, 0, 0)], [-0.5, 0, 0, 0.5]),  # a sphere
        ((0.5, 0.1, 0.5), 0, [(0.4, 0, 0), (0, 0.4, 0)], [-0.02, 0.3]),  # its long axis along x, then along y
        ((0.5, 0.1, 0.5), np.pi / 2, [(0.4, 0, 0), (0, 0.4, 0)], [0.3, -0.02]),
        ((0.5, 0.5, np.inf), 0, [(0, 0, 0), (0, 0, 5)], [-0.5, -0.5]),  # a cylinder
    ],
)
def test_shapes_by_hand(radii, turn, places, expected):
    np.testing.assert_allclose(ellipsoid(np.transpose(places), (0, 0, 0), radii, turn), expected, atol=1e-6)


def test_paint_mixes_by_a_share_that_is_as_gradual_as_its_width():
    image = np.zeros(4, dtype=np.float32)
    paint(image, np.float32([-9, -0.05, 0, 9]), 100.0, width=0.1)
    np.testing.assert_allclose(image, [100, 100 / (1 + np.exp(-0.5)), 50, 0], atol=1e-3)


def test_bending_moves_points_a_little_and_only_in_plane():
    grid = coordinates((4, 16, 16))
    x, y, z = moved = bent(grid, np.random.default_rng(0), amplitude=0.03)
    assert (z == grid[2]).all()
    assert 0.005 < np.hypot(x - grid[0], y - grid[1]).mean() < 0.08
    assert np.diff(moved[0], axis=2).min() > 0  # no folding


def test_a_case_without_foreground_has_a_slice_too():
    assert telling_slice(np.zeros((5, 8, 8), dtype=np.uint8)) == 0
