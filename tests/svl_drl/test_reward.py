"""The reward, by hand and with scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.testing import assert_close

from nnunetv2_dale.svl_drl.reward import (
    Reference,
    continuity_cost,
    dice_shares,
    edit_shares,
    edit_slopes,
    fragmentation,
    reward_of,
    soft_dice,
    squared_error,
    total_variation,
    total_variation_shares,
)

SHAPES = pytest.mark.parametrize("shape", [(2, 3, 9, 11), (2, 2, 5, 6, 7), (2, 1, 1, 6, 8)])


def test_dice_by_hand() -> None:
    """Class 1: 2 · (0.5 + 1) / (0.5 + 1 + 0.25 + 2) = 0.8; class 2 is nowhere: 1. Mean 0.9."""
    probabilities = torch.tensor([[[[0.5, 1.0, 0.25]], [[0.0, 0.0, 0.0]]]])
    foreground = torch.tensor([[[[True, True, False]], [[False, False, False]]]])
    assert_close(soft_dice(probabilities, Reference.of(foreground, None)), torch.tensor([0.9]), atol=1e-5, rtol=0)


def test_ignored_voxels_count_in_no_part() -> None:
    probabilities, foreground = torch.rand(2, 2, 6, 8), torch.rand(2, 2, 6, 8) < 0.4
    valid = torch.ones(2, 1, 6, 8, dtype=torch.bool)
    valid[..., 5:] = False
    other_probabilities, other_foreground = probabilities.clone(), foreground.clone()
    other_probabilities[..., 5:], other_foreground[..., 5:] = 0.9, True
    one, other = Reference.of(foreground, valid), Reference.of(other_foreground, valid)
    assert_close(soft_dice(probabilities, one), soft_dice(other_probabilities, other))
    assert_close(fragmentation(probabilities > 0.5, one), fragmentation(other_probabilities > 0.5, other))
    assert_close(squared_error(probabilities, one), squared_error(other_probabilities, other))


@pytest.mark.parametrize("shape", [(2, 3, 9, 11), (2, 2, 5, 6, 7)])
def test_continuity_is_scipys_components_and_numpys_differences(shape: tuple[int, ...]) -> None:
    probabilities, foreground = torch.rand(shape), torch.rand(shape) < 0.15
    masks = probabilities > 0.8
    structure = np.ones((3,) * (len(shape) - 2))
    expected = []
    for f, hard, given in zip(probabilities.numpy(), masks.numpy(), foreground.numpy(), strict=True):
        variation = np.mean([np.abs(np.diff(f, axis=axis)).mean() for axis in range(1, f.ndim)])
        counts = [
            (ndimage.label(of, structure)[1], ndimage.label(ref, structure)[1])
            for of, ref in zip(hard, given, strict=True)
        ]
        fragments = np.mean([1 - max(1, ref) / max(1, ref, of) for of, ref in counts])
        expected.append(variation + fragments)
    found = continuity_cost(probabilities, masks, Reference.of(foreground, None))
    assert_close(found, torch.tensor(np.array(expected), dtype=torch.float32))


def test_fragmentation_by_hand() -> None:
    """Three parts for one cost 2/3, two for none 1/2; one part for two costs nothing, and an empty one neither."""
    three = torch.tensor([1, 0, 1, 0, 1, 0, 0], dtype=torch.bool)
    two = torch.tensor([1, 0, 1, 0, 0, 0, 0], dtype=torch.bool)
    one = torch.tensor([1, 1, 1, 0, 0, 0, 0], dtype=torch.bool)
    none = torch.zeros(7, dtype=torch.bool)

    def cost(predicted: torch.Tensor, given: torch.Tensor) -> float:
        reference = Reference.of(given.expand(1, 1, 7, 7).clone() & _first_row(), None)
        return fragmentation(predicted.expand(1, 1, 7, 7) & _first_row(), reference).item()

    assert (cost(three, one), cost(one, two), cost(none, one), cost(two, none)) == (pytest.approx(2 / 3), 0.0, 0.0, 0.5)


def _first_row() -> torch.Tensor:
    rows = torch.zeros(7, 7, dtype=torch.bool)
    rows[0] = True
    return rows


def test_a_smooth_segmentation_varies_less_than_a_rough_one() -> None:
    """A step of 1 across one of seven pairs of an axis, over two axes: 1/14. A constant one: 0."""
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    assert_close(total_variation(step), torch.tensor([1 / 14]))
    assert_close(total_variation(torch.full((1, 1, 8, 8), 0.3)), torch.tensor([0.0]))


def moved(shape: tuple[int, ...], by: float) -> tuple[torch.Tensor, torch.Tensor, Reference]:
    """Probabilities before and after a change, and labels with ignored voxels."""
    generator = torch.Generator().manual_seed(1)
    before = (0.2 + 0.6 * torch.rand(shape, generator=generator)).double()
    after = before + by * torch.randn(shape, generator=generator)
    labels = torch.randint(shape[1] + 1, (shape[0], 1, *shape[2:]), generator=generator)
    foreground = torch.cat([labels == each for each in range(1, shape[1] + 1)], dim=1)
    valid = torch.ones_like(labels, dtype=torch.bool)
    valid[..., 0] = False
    return before, after, Reference.of(foreground, valid)


@SHAPES
def test_the_shares_of_the_voxels_are_the_gain_in_dice_to_second_order(shape: tuple[int, ...]) -> None:
    """Their mean misses it by a third power: by 8 times less after half of the change."""
    missed = []
    for by in (0.04, 0.02):
        before, after, reference = moved(shape, by)
        gain = soft_dice(after, reference) - soft_dice(before, reference)
        missed.append((dice_shares(before, after, reference).flatten(1).mean(dim=1) - gain).abs())
        assert (missed[-1] < 0.01 * gain.abs()).all()
    assert torch.all(missed[0] / missed[1] > 6)


@SHAPES
def test_a_share_is_autograds_derivative_times_the_change(shape: tuple[int, ...]) -> None:
    before, after, reference = moved(shape, 0.1)
    middle = ((before + after) / 2).requires_grad_()
    soft_dice(middle, reference).sum().backward()
    assert middle.grad is not None
    voxels = before[0, 0].numel()
    expected = voxels * (middle.grad * (after - before)).sum(dim=1, keepdim=True)
    found = dice_shares(before, after, reference)
    assert_close(found, expected)
    assert not found[..., 0].any()  # ignored


def test_shares_of_classes_that_are_nowhere_are_finite_and_small() -> None:
    before, after = torch.full((1, 2, 4, 4), 1e-4), torch.zeros(1, 2, 4, 4)
    shares = dice_shares(before, after, Reference.of(torch.zeros(1, 2, 4, 4, dtype=torch.bool), None))
    assert shares.isfinite().all()
    assert 0 < shares.mean() <= 1


@SHAPES
def test_the_shares_of_the_variation_are_half_of_each_difference(shape: tuple[int, ...]) -> None:
    probabilities = torch.rand(shape).double()
    found = total_variation_shares(probabilities)
    assert_close(found.flatten(1).mean(dim=1), total_variation(probabilities))
    expected = torch.zeros_like(found[1, 0])
    spatial = shape[2:]
    axes = [axis for axis, length in enumerate(spatial) if length > 1]
    for place in np.ndindex(*spatial):
        for axis, step in ((axis, step) for axis in axes for step in (-1, 1)):
            other = list(place)
            other[axis] += step
            if 0 <= other[axis] < spatial[axis]:
                difference = (probabilities[(1, slice(None), *place)] - probabilities[(1, slice(None), *other)]).abs()
                pairs_per_voxel = (spatial[axis] - 1) / spatial[axis]
                expected[place] += difference.mean() / 2 / pairs_per_voxel / len(axes)
    assert_close(found[1, 0], expected)


def test_each_kind_of_reward_has_its_parts() -> None:
    before, after, reference = moved((2, 2, 6, 7), 0.1)
    gain, cost = reward_of(before, after, reference, "share", 0.5)
    assert torch.equal(gain, dice_shares(before, after, reference))
    assert torch.equal(cost, -0.5 * total_variation_shares(after))
    gain, cost = reward_of(before, after, reference, "volume", 0.5)
    assert gain.shape == cost.shape == (2, 1, 1, 1)
    assert_close(gain.flatten(), soft_dice(after, reference) - soft_dice(before, reference))
    hard = after.argmax(dim=1, keepdim=True) == torch.arange(2).view(1, 2, 1, 1)
    hard &= after.amax(dim=1, keepdim=True) > 1 - after.sum(dim=1, keepdim=True)  # else background
    assert_close(cost.flatten(), -0.5 * continuity_cost(after, hard, reference))
    gain, cost = reward_of(before, after, reference, "voxel", 0.5)
    assert torch.equal(gain, squared_error(before, reference) - squared_error(after, reference))
    assert not cost.any()


@SHAPES
def test_what_edits_changed_misses_the_change_by_a_third_power(shape: tuple[int, ...]) -> None:
    """Of a network that mixes neighbours; ten times smaller edits are missed a thousand times less."""
    torch.manual_seed(2)
    images, edit = torch.randn(shape[0], 1, *shape[2:], dtype=torch.float64), torch.randn(shape[0], 1, *shape[2:])
    reference = Reference.of(torch.rand(shape) < 0.4, None)
    mixing = torch.randn(shape[1], 1, *(1,) * (len(shape) - 2), dtype=torch.float64)

    def found(state: torch.Tensor) -> torch.Tensor:
        return ((state + state.roll(1, -1)) * mixing[:, 0]).sigmoid()

    def slopes(state: torch.Tensor) -> torch.Tensor:
        state = state.clone().requires_grad_()
        return edit_slopes(found(state), state, reference, 0.0)

    errors = []
    for size in (0.1, 0.01):
        after = images + size * edit
        shares = edit_shares(images, after, (slopes(images), slopes(after)))
        change = soft_dice(found(after), reference) - soft_dice(found(images), reference)
        errors.append((shares.flatten(1).mean(1) - change).abs().max())
    assert errors[1] < errors[0] / 500


def test_only_the_voxel_that_was_edited_has_a_share() -> None:
    images = torch.zeros(1, 1, 4, 4, requires_grad=True)
    reference = Reference.of(torch.ones(1, 1, 4, 4, dtype=torch.bool), None)
    slopes = edit_slopes((images + images.roll(1, -1)).sigmoid(), images, reference, 0.1)
    after = images.detach().clone()
    after[..., 1, 2] = 0.3
    shares = edit_shares(images.detach(), after, (slopes, slopes))
    assert (shares != 0).sum() == 1
    assert shares[0, 0, 1, 2] > 0
