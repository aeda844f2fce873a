"""Otsu's split of cases into two groups: by hand, and against trying every threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.case_trust.case_groups import two_groups


def _column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def test_two_values_by_hand():
    """Three cases at 0 and two at 1: the two are the smaller group, and all variance lies between them."""
    found = two_groups(_column(1.0, 0.0, 0.0, 1.0, 0.0))
    assert_close(found.side, _column(1.0, 0.0, 0.0, 1.0, 0.0))
    assert_close(found.explained, torch.tensor([1.0]))
    assert_close(found.distance, torch.tensor([1.0]))


def test_a_smaller_group_of_lower_values_has_the_other_sign():
    assert_close(two_groups(_column(1.0, -3.0, 1.0, 1.5)).side, _column(0.0, -1.0, 0.0, 0.0))


def test_groups_of_one_size_have_no_smaller_one():
    found = two_groups(_column(0.0, 1.0, 0.0, 1.0))
    assert_close(found.side, torch.zeros(4, 1))
    assert_close(found.explained, torch.tensor([1.0]))


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0, 2.0], [math.nan, math.nan], [math.nan, 5.0]], ids=len)
def test_without_two_different_values_there_are_no_groups(values):
    found = two_groups(_column(*values))
    assert_close(found.side, torch.zeros(len(values), 1))
    assert found.explained == 0
    assert found.distance == 0


@pytest.mark.parametrize("seed", range(5))
def test_against_trying_every_threshold(seed):
    random = np.random.default_rng(seed)
    values = np.concatenate([random.normal(0, 1, (30, 3)), random.normal(seed, 0.5, (17, 3))])
    values[random.random(values.shape) < 0.2] = np.nan
    found = two_groups(torch.from_numpy(values))
    for column in range(3):
        known = values[:, column][~np.isnan(values[:, column])]
        best = (0.0, 0.0, 0.0)
        for threshold in known:
            low, high = known[known <= threshold], known[known > threshold]
            if len(high):
                within = (low.var() * len(low) + high.var() * len(high)) / len(known)
                best = max(best, (1 - within / known.var(), threshold, high.mean() - low.mean()))
        explained, threshold, distance = best
        upper = values[:, column] > threshold
        lower = values[:, column] <= threshold
        side = upper * 1.0 if upper.sum() < lower.sum() else -1.0 * lower
        np.testing.assert_allclose(found.side[:, column], side)
        np.testing.assert_allclose(found.explained[column], explained)
        np.testing.assert_allclose(found.distance[column], distance)


def test_a_normal_distribution_is_explained_to_two_over_pi():
    values = torch.erfinv(torch.linspace(-0.999, 0.999, 2001, dtype=torch.float64))[:, None]
    assert_close(two_groups(values).explained, torch.tensor([2 / math.pi], dtype=torch.float64), atol=5e-3, rtol=0)
