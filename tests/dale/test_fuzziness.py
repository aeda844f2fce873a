"""Fuzziness against a slow loop over patches and voxels, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.dale.fuzziness import fuzziness_map, patch_edge_ratio, patch_entropy, patch_shape
from nnunetv2_dale.dale.label_edges import label_edges
from nnunetv2_dale.dale.views import fuzzy_mask, non_fuzzy_mask, view_of


def slow_entropy(image: np.ndarray, patch: tuple[int, ...], bins: int) -> np.ndarray:
    """np.histogram of every patch of a (C, *S) image, mean over channels."""
    grid = [-(-size // step) for size, step in zip(image.shape[1:], patch, strict=True)]
    result = np.zeros([len(image), *grid])
    for channel, values in enumerate(image):
        for cell in itertools.product(*map(range, grid)):
            inside = values[tuple(slice(i * step, (i + 1) * step) for i, step in zip(cell, patch, strict=True))]
            span = (values.min(), values.max()) if values.max() > values.min() else (values.min(), values.min() + 1)
            counts, _ = np.histogram(inside, bins=bins, range=span)
            share = counts[counts > 0] / inside.size
            result[(channel, *cell)] = -(share * np.log(share)).sum()
    return result.mean(axis=0)


def slow_edges(label: np.ndarray, ignore: np.ndarray) -> np.ndarray:
    """A voxel at a time: more than one label among the neighbours that are not ignored."""
    edges = np.zeros(label.shape, bool)
    for position in np.ndindex(label.shape):
        box = tuple(slice(max(0, i - 1), i + 2) for i in position)
        edges[position] = not ignore[position] and len(np.unique(label[box][~ignore[box]])) > 1
    return edges


def slow_ratio(edges: np.ndarray, ignore: np.ndarray, patch: tuple[int, ...]) -> np.ndarray:
    grid = [-(-size // step) for size, step in zip(edges.shape, patch, strict=True)]
    result = np.zeros(grid)
    for cell in itertools.product(*map(range, grid)):
        box = tuple(slice(i * step, (i + 1) * step) for i, step in zip(cell, patch, strict=True))
        counted = (~ignore[box]).sum()
        result[cell] = edges[box].sum() / counted if counted else 0
    return result


SHAPES = [((32, 32), (16, 16)), ((21, 37), (8, 16)), ((9, 20, 13), (4, 8, 8)), ((3, 3), (16, 16))]


@pytest.mark.parametrize(("shape", "patch"), SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_entropy_is_that_of_numpy_histograms(shape, patch, channels):
    images = torch.randint(0, 40, (2, channels, *shape)).float()
    images[..., :5] = 7  # a flat part, so that patches differ
    expected = [slow_entropy(image.numpy(), patch, bins=8) for image in images]
    assert_close(patch_entropy(images, patch, entropy_bins=8), torch.tensor(np.array(expected))[:, None].float())


def test_entropy_between_given_bounds_is_that_of_numpy_histograms():
    """Two channels with bounds of their own, some of them equal; a value on a bound is above it."""
    images = torch.randint(0, 20, (3, 2, 21, 37)).float()
    bounds = torch.tensor([[2.0, 5.0, 5.0, 11.0, 18.0], [0.0, 0.5, 3.0, 3.0, 25.0]])
    found = patch_entropy(images, (8, 16), entropy_bins=6, bin_bounds=bounds)
    for sample, image in enumerate(images.numpy()):
        for row, column in itertools.product(range(3), range(3)):
            entropies = []
            for channel, inner in zip(image, bounds.numpy(), strict=True):
                inside = channel[8 * row : 8 * row + 8, 16 * column : 16 * column + 16]
                counts, _ = np.histogram(inside, bins=[-np.inf, *inner, np.inf])
                share = counts[counts > 0] / inside.size
                entropies.append(-(share * np.log(share)).sum())
            assert found[sample, 0, row, column] == pytest.approx(np.mean(entropies), abs=1e-5)


def test_channels_of_a_wider_input_are_taken_as_they_lie():
    """As the image channels of a cascade, or slices that were a volume: no warning about how they lie in memory."""
    images, bounds = torch.rand(3, 2, 16, 16), torch.tensor([[0.2, 0.4, 0.6]])
    expected = patch_entropy(images[:, :1].contiguous(), (4, 4), 4, bounds)
    assert_close(patch_entropy(images[:, :1], (4, 4), 4, bounds), expected)
    assert_close(
        patch_entropy(images.transpose(0, 1)[1:, :1], (4, 4), 4, bounds),
        patch_entropy(images[:1, 1:], (4, 4), 4, bounds),
    )


def test_bounds_reach_the_map():
    images, labels = torch.rand(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    images[..., :16] *= 0.5
    bounds = torch.linspace(0.05, 0.45, 7)[None]  # the half with small values is told apart best
    found = fuzziness_map(images, labels, (16, 16), 8, bin_bounds=bounds)
    assert found.combined[..., :16].min() > found.combined[..., 16:].max()
    printed = fuzziness_map(images, labels, (16, 16), 8)
    assert printed.combined[..., :16].max() < printed.combined[..., 16:].min()


def test_entropy_by_hand():
    """Half zeros, half ones: log 2. Constant beside it: 0. Four equal values: log 4."""
    images = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]]).view(1, 1, 1, 8)
    found = patch_entropy(images.expand(1, 1, 4, 8), (4, 2), entropy_bins=4)[0, 0, 0]
    assert_close(found, torch.tensor([2.0, 1.0, 2.0, 2.0]).log())


def test_entropy_of_a_constant_image_is_zero():
    assert_close(patch_entropy(torch.full((1, 2, 20, 20), -3.0), (16, 16)), torch.zeros(1, 1, 2, 2))


@pytest.mark.parametrize("ignoring", [False, True])
@pytest.mark.parametrize(("shape", "patch"), SHAPES)
def test_edge_ratio_of_label_maps_is_that_of_a_loop_over_voxels(shape, patch, ignoring):
    labels = (torch.rand(2, 1, *shape) > 0.8).short() + (torch.rand(2, 1, *shape) > 0.9).short()
    valid = (torch.rand(2, 1, *shape) > 0.3) if ignoring else torch.ones(2, 1, *shape, dtype=torch.bool)
    edges = [slow_edges(label[0].numpy(), ~keep[0].numpy()) for label, keep in zip(labels, valid, strict=True)]
    ratios = [slow_ratio(edge, ~keep[0].numpy(), patch) for edge, keep in zip(edges, valid, strict=True)]
    assert_close(label_edges(labels, valid if ignoring else None), torch.tensor(np.array(edges))[:, None])
    found = patch_edge_ratio(labels, patch, valid if ignoring else None)
    assert_close(found, torch.tensor(np.array(ratios))[:, None].float())


def test_edges_of_regions_are_those_of_any_region():
    whole = torch.zeros(1, 1, 12, 12, dtype=torch.bool)
    whole[..., 2:10, 2:10] = True
    core = torch.zeros_like(whole)
    core[..., 5:7, 5:7] = True
    as_map = whole.short() + core.short()
    assert_close(label_edges(torch.cat([whole, core], dim=1)), label_edges(as_map))


def test_edges_along_two_axes_are_those_of_each_slice():
    labels = (torch.rand(1, 1, 4, 7, 6, generator=torch.Generator().manual_seed(0)) > 0.9).to(torch.int16)
    of_slices = torch.stack([label_edges(labels[:, :, number]) for number in range(4)], dim=2)
    assert_close(label_edges(labels, axes=(3, 4)), of_slices)
    assert not torch.equal(label_edges(labels), of_slices)


def test_all_ignored_voxels_have_no_edges():
    labels = torch.randint(0, 3, (1, 1, 16, 16))
    ignored = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    assert patch_edge_ratio(labels, (8, 8), ignored).sum() == 0


def test_map_is_the_larger_of_the_two_min_maxed_maps():
    images, labels = torch.randn(3, 1, 48, 48), (torch.rand(3, 1, 48, 48) > 0.9).short()
    labels[:, :, 20:] = 0
    found = fuzziness_map(images, labels, (16, 16))
    for sample in range(3):
        entropy = patch_entropy(images[sample : sample + 1], (16, 16))[0, 0]
        edges = patch_edge_ratio(labels[sample : sample + 1], (16, 16))[0, 0]
        entropy, edges = ((x - x.min()) / (x.max() - x.min()) for x in (entropy, edges))
        expected = torch.maximum(entropy, edges).kron(torch.ones(16, 16))
        assert_close(found.combined[sample, 0], expected)
    only = {source: fuzziness_map(images, labels, (16, 16), source=source).combined for source in ("entropy", "edges")}
    assert_close(only["entropy"], found.entropy)
    assert_close(only["edges"], found.edges)


def test_constant_maps_become_zero_not_nan():
    found = fuzziness_map(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32), (16, 16))
    assert found.combined.abs().sum() == 0


def test_rounding_is_not_stretched_to_contrast():
    """Every patch holds the same values in another order: one entropy, whatever the summing order does to it."""
    values = torch.rand(256)
    images = torch.cat([values[torch.randperm(256)].view(16, 16) for _ in range(6)], dim=1)[None, None]
    assert fuzziness_map(images, torch.zeros_like(images), (16, 16)).combined.max() == 0


def test_shifting_and_scaling_intensities_changes_nothing():
    images, labels = torch.randn(2, 1, 32, 40), torch.zeros(2, 1, 32, 40)
    images[..., :16, :16] = 0
    a, b = (fuzziness_map(x, labels, (16, 16)).combined for x in (images, 4 * images - 8))
    assert_close(a, b)


def test_masks_by_hand():
    m = torch.tensor([0.0, 0.5, 0.9, 0.95, 1.0])
    assert_close(fuzzy_mask(m, 0.9), torch.tensor([0.0, 0.5, 0.9, 1.0, 1.0]))
    assert_close(non_fuzzy_mask(m, 0.9), torch.tensor([1.0, 1.0, 0.0, -0.05, -0.1]))


def test_masked_input_multiplies_the_image_by_the_printed_mask_and_clamps_it_on_the_label():
    images, mask = torch.randn(2, 3, 4, 4), torch.tensor([1.0, 0.5, 0.0, -0.1]).expand(2, 1, 4, 4)
    view = view_of(images, mask, "masked_input")
    assert_close(view.images, images * mask)
    assert_close(view.label_mask, torch.tensor([1.0, 0.5, 0.0, 0.0]).expand(2, 1, 4, 4))
    assert_close(view.voxel_weight, torch.ones(2, 1, 4, 4))


def test_a_sample_of_which_a_view_shows_nothing_has_no_weight_in_it():
    """All of it fuzzy: M^n is negative everywhere. Nothing fuzzy: M^f is 0 everywhere."""
    for mask in (torch.tensor([-0.1, 0.2]), torch.tensor([0.0, 1.0])):
        view = view_of(torch.randn(2, 1, 4, 4), mask.view(2, 1, 1, 1).expand(2, 1, 4, 4), "masked_input")
        assert_close(view.voxel_weight, torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4))


def test_masked_input_leaves_the_previous_stage_of_a_cascade_alone():
    images, mask = torch.randn(1, 3, 4, 4), torch.full((1, 1, 4, 4), 0.25)
    view = view_of(images, mask, "masked_input", image_channels=1)
    assert_close(view.images[:, :1], images[:, :1] / 4)
    assert_close(view.images[:, 1:], images[:, 1:])


def test_a_masked_voxel_can_be_as_dark_as_the_darkest_of_its_sample_and_channel():
    images, mask = torch.randn(2, 3, 4, 4), torch.tensor([1.0, 0.5, 0.0, -0.1]).expand(2, 1, 4, 4)
    view = view_of(images, mask, "masked_input", image_channels=2, masked_value="darkest")
    for sample in range(2):
        for channel in range(2):
            given, seen = images[sample, channel], view.images[sample, channel]
            assert_close(seen[:, 0], given[:, 0])
            assert_close(seen[:, 1], (given[:, 1] + given.min()) / 2)
            assert_close(seen[:, 2], given.min().expand(4))
    assert_close(view.images[:, 2], images[:, 2])
    assert_close(view.label_mask, view_of(images, mask, "masked_input").label_mask)


def test_masked_loss_leaves_image_and_label_alone():
    images, mask = torch.randn(1, 1, 4, 4), torch.full((1, 1, 4, 4), -0.25)
    view = view_of(images, mask, "masked_loss")
    assert view.images is images
    assert view.label_mask is None
    assert_close(view.voxel_weight, torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((512, 512), (0.7, 0.7), (16, 16)),
        ((40, 56, 40), (1.0, 1.0, 1.0), (16, 16, 16)),
        ((64, 256, 256), (4.0, 1.0, 1.0), (4, 16, 16)),
        ((256, 64, 256), (1.0, 2.5, 1.0), (16, 6, 16)),
        ((20, 256, 256), (40.0, 0.5, 0.5), (1, 16, 16)),
        ((10, 12, 300), (1.0, 1.0, 1.0), (10, 12, 16)),
        ((40, 56, 40), None, (16, 16, 16)),
    ],
)
def test_patches_are_as_deep_as_wide_in_mm(shape, spacing, expected):
    assert patch_shape(shape, 16, spacing) == expected


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((512, 512), (0.7, 0.7), (16, 16)),  # 32 patches fit
        ((80, 90), (1.0, 1.0), (16, 16)),  # 80 / 5
        ((79, 90), (1.0, 1.0), (15, 15)),
        ((56, 40), None, (8, 8)),
        ((4, 4), None, (1, 1)),
        ((10, 40, 56), (4.0, 1.0, 1.0), (2, 8, 8)),  # the shortest in-plane axis; 8 mm deep
        ((40, 56, 3), (1.0, 1.0, 5.0), (8, 8, 2)),
        ((30, 40, 56), (1.0, 1.0, 1.0), (8, 8, 8)),  # of equal spacings the first axis is taken as through-plane
        ((30, 40, 56), None, (6, 6, 6)),
    ],
)
def test_patches_of_small_images_are_so_small_that_five_fit(shape, spacing, expected):
    assert patch_shape(shape, 16, spacing, fewest_patches=5) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8, 8), 0), "at least 1 voxel, got 0"),
        (((8,),), "2 or 3 spatial axes"),
        (((8, 8), 4, (1.0,)), "expected 2 positive spacings"),
        (((8, 8), 4, (1.0, -1.0)), "expected 2 positive spacings"),
    ],
)
def test_impossible_patches_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        patch_shape(*arguments)


def test_maps_of_different_size_are_refused():
    with pytest.raises(ValueError, match="must agree in space"):
        fuzziness_map(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9), (4, 4))
    with pytest.raises(ValueError, match="at least 2 bins"):
        patch_entropy(torch.zeros(1, 1, 8, 8), (4, 4), entropy_bins=1)
