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
    fragmentation,
    soft_dice,
    squared_error,
    total_variation,
)


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
