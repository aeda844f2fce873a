"""Windows, chosen slices and outlines: hand-made arrays whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from nnunetv2_dale.pages.slice_display import (
    CT_WINDOWS_HU,
    display_range,
    draw_slice,
    pixel_outline,
    slices_that_matter,
)


def _ct(inside_hu: float) -> np.ndarray:
    """A body of `inside_hu` (± 60) in air."""
    image = np.full((4, 20, 20), -1000.0)
    image[:, 5:15, 5:15] = inside_hu + np.linspace(-60, 60, 100).reshape(10, 10)
    return image


@pytest.mark.parametrize(("inside_hu", "window"), [(40.0, "soft tissue"), (-800.0, "lung"), (700.0, "bone")])
def test_ct_window_follows_the_content(inside_hu: float, window: str) -> None:
    assert display_range(_ct(inside_hu), is_ct=True) == CT_WINDOWS_HU[window]


def test_ct_window_follows_the_region() -> None:
    image = np.concatenate([_ct(40.0), _ct(-800.0)[:1]])
    region = np.zeros(image.shape, bool)
    region[4, 5:15, 5:15] = True
    assert display_range(image, is_ct=True) == CT_WINDOWS_HU["soft tissue"]
    assert display_range(image, is_ct=True, region=region) == CT_WINDOWS_HU["lung"]


def test_normalised_ct_is_shown_by_percentiles() -> None:
    image = np.random.default_rng(0).normal(size=(4, 20, 20))
    of_a_normal = 2.576  # its 99.5th percentile, in standard deviations
    assert display_range(image, is_ct=True) == pytest.approx((-of_a_normal, of_a_normal), abs=0.25)


def test_percentiles_ignore_background_outliers_and_nan() -> None:
    image = np.zeros((100, 100))
    image[:10] = np.linspace(100, 200, 1000).reshape(10, 100)
    image[0, 0], image[0, 1] = 1e6, np.nan
    low, high = display_range(image, is_ct=False)
    assert 99 < low < 105
    assert 195 < high < 201


@pytest.mark.parametrize("is_ct", [False, True])
@pytest.mark.parametrize("value", [0.0, -3000.0, np.nan])
def test_constant_image_has_a_range(value: float, is_ct: bool) -> None:
    low, high = display_range(np.full((3, 3), value), is_ct)
    assert high == low + 1


def test_slices_of_most_foreground_and_most_fuzziness() -> None:
    label, fuzzy = np.zeros((5, 4, 4), int), np.zeros((5, 4, 4))
    label[3, :2], label[1, 0], fuzzy[1] = 2, 1, 0.5
    assert slices_that_matter(label) == [3]
    assert slices_that_matter(label, fuzzy) == [1, 3]
    assert slices_that_matter(np.zeros_like(label)) == [2]
    assert slices_that_matter(label[0]) == [0]
    with pytest.raises(ValueError, match="fuzziness of shape"):
        slices_that_matter(label, fuzzy[:4])


def test_outline_of_a_rectangle_has_four_sides() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2:4, 0:3] = True
    sides = {tuple(map(tuple, segment.tolist())) for segment in pixel_outline(mask)}
    assert sides == {
        ((-0.5, 1.5), (2.5, 1.5)),
        ((-0.5, 3.5), (2.5, 3.5)),
        ((-0.5, 1.5), (-0.5, 3.5)),
        ((2.5, 1.5), (2.5, 3.5)),
    }


def test_outline_length_counts_the_edges_of_a_random_mask() -> None:
    mask = np.random.default_rng(1).random((15, 11)) > 0.5
    padded = np.pad(mask, 1)
    edges = sum(
        padded[r, c] != padded[r + dr, c + dc] for r in range(16) for c in range(12) for dr, dc in ((0, 1), (1, 0))
    )
    assert np.abs(np.diff(pixel_outline(mask), axis=1)).sum() == edges


def test_slice_is_drawn_in_true_proportions_with_named_outlines() -> None:
    axes = Figure().add_subplot()
    mask = np.eye(6, 8)
    handles = draw_slice(axes, np.arange(48.0).reshape(6, 8), (9.0, 3.0, 1.0), {"clean": mask, "empty": 0 * mask})
    assert axes.get_aspect() == 3.0
    assert [handle.get_label() for handle in handles] == ["clean", "empty"]
    assert [len(handle.get_segments()) > 0 for handle in handles] == [True, False]


def test_colour_slice_is_drawn_in_its_colours() -> None:
    axes = Figure().add_subplot()
    rgb = np.random.default_rng(2).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    draw_slice(axes, rgb, (1.0, 1.0), value_range=(0.0, 255.0))
    assert np.allclose(axes.images[0].get_array(), rgb / 255, atol=1e-6)


def test_wrong_shapes_are_named() -> None:
    axes = Figure().add_subplot()
    with pytest.raises(ValueError, match=r"\(4, 4, 2\)"):
        draw_slice(axes, np.zeros((4, 4, 2)), (1.0, 1.0))
    with pytest.raises(ValueError, match="'clean' of shape"):
        draw_slice(axes, np.zeros((4, 4)), (1.0, 1.0), {"clean": np.zeros((4, 5))})
