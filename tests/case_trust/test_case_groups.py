"""Otsu's split of cases into two groups, and which is doubted: by hand, by trying every threshold, and by SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from nnunetv2_dale.case_trust.case_groups import CERTAIN, doubted_group, otsu_split


def _column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def test_two_values_by_hand():
    """Three cases at 0 and two at 1: all variance lies between them."""
    found = otsu_split(_column(1.0, 0.0, 0.0, 1.0, 0.0))
    assert_close(found.side, _column(1.0, -1.0, -1.0, 1.0, -1.0))
    assert_close(found.explained, torch.tensor([1.0]))
    assert_close(found.distance, torch.tensor([1.0]))


@pytest.mark.parametrize(
    ("values", "doubted"), [((0.0, 1.0, 0.0), 1), ((1.0, -3.0, 1.0, 1.5), -1), ((0.0, 1.0, 0.0, 1.0), 0)]
)
@pytest.mark.parametrize("contrast", [math.nan, 1.2], ids=["unknown", "equal"])
def test_without_a_difference_in_contrast_the_smaller_group_is_doubted(values, doubted, contrast):
    side = otsu_split(_column(*values)).side
    found, certain = doubted_group(side, torch.full_like(side, contrast))
    assert (int(found), bool(certain)) == (doubted, False)


@pytest.mark.parametrize("factor", [0.98, 1.02])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_group_of_less_contrast_is_doubted_once_welchs_t_is_certain(factor, sign):
    """Thirty cases against ten; their means are moved until t is just below, or just above, what counts as certain."""
    random = np.random.default_rng(0)
    many, few = random.normal(1, 0.1, 30), random.normal(1, 0.2, 10)
    error = math.sqrt(many.var(ddof=1) / 30 + few.var(ddof=1) / 10)
    few += many.mean() - few.mean() + sign * factor * CERTAIN * error
    t = stats.ttest_ind(few, many, equal_var=False).statistic
    assert abs(t) == pytest.approx(factor * CERTAIN)
    side = _column(*[-1.0] * 30, *[1.0] * 10, 0.0, 1.0)
    found, certain = doubted_group(side, _column(*many, *few, 9.0, math.nan))
    assert bool(certain) == (factor > 1)
    assert int(found) == (-sign if factor > 1 else 1)


def test_a_single_case_of_a_group_decides_nothing_by_its_contrast():
    found, certain = doubted_group(_column(1.0, -1.0, -1.0), _column(2.0, 1.0, 1.0))
    assert (int(found), bool(certain)) == (1, False)


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0, 2.0], [math.nan, math.nan], [math.nan, 5.0]], ids=len)
def test_without_two_different_values_there_are_no_groups(values):
    found = otsu_split(_column(*values))
    assert_close(found.side, torch.zeros(len(values), 1))
    assert found.explained == 0
    assert found.distance == 0


@pytest.mark.parametrize("seed", range(5))
def test_against_trying_every_threshold(seed):
    random = np.random.default_rng(seed)
    values = np.concatenate([random.normal(0, 1, (30, 3)), random.normal(seed, 0.5, (17, 3))])
    values[random.random(values.shape) < 0.2] = np.nan
    found = otsu_split(torch.from_numpy(values))
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
        side = upper * 1.0 - lower
        np.testing.assert_allclose(found.side[:, column], side)
        np.testing.assert_allclose(found.explained[column], explained)
        np.testing.assert_allclose(found.distance[column], distance)


def test_a_normal_distribution_is_explained_to_two_over_pi():
    values = torch.erfinv(torch.linspace(-0.999, 0.999, 2001, dtype=torch.float64))[:, None]
    assert_close(otsu_split(values).explained, torch.tensor([2 / math.pi], dtype=torch.float64), atol=5e-3, rtol=0)
