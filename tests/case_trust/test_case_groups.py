"""Groups of cases: by hand, against trying every way to cut, SciPy's Welch test, and Otsu's rule for two groups."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from nnunetv2_dale.case_trust import case_groups
from nnunetv2_dale.case_trust.case_groups import (
    CERTAIN,
    LEFT_OF_NORMAL,
    best_partitions,
    clearness,
    group_doubt,
    reference_group,
    welch,
)

UNKNOWN = torch.full((1,), math.nan)


def by_brute_force(values: NDArray[np.float64], k: int) -> tuple[float, list[NDArray[np.float64]]]:
    """The least sum of squares within groups over all ways to cut the sorted values."""
    ordered = np.sort(values)
    best: tuple[float, list[NDArray[np.float64]]] = (math.inf, [])
    for cuts in itertools.combinations(range(1, len(ordered)), k - 1):
        groups = np.split(ordered, cuts)
        within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
        if within < best[0]:
            best = within, groups
    return best


@pytest.mark.parametrize("seed", range(4))
def test_partitions_against_every_way_to_cut(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.concatenate([random.normal(0, 1, 10), random.normal(seed, 0.5, 7)])
    values[random.random(len(values)) < 0.15] = np.nan
    known = values[~np.isnan(values)]
    found = best_partitions(torch.from_numpy(values))
    assert [len(each.means) for each in found] == [2, 3, 4]
    for each in found:
        within, groups = by_brute_force(known, len(each.means))
        assert each.explained == pytest.approx(1 - within / (known.var() * len(known)))
        np.testing.assert_allclose(each.means, [group.mean() for group in groups])
        for number, group in enumerate(groups):
            np.testing.assert_allclose(np.sort(values[each.group.numpy() == number]), group)
        assert (each.group.numpy()[np.isnan(values)] == -1).all()


def test_of_many_cases_only_some_places_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_groups, "MOST_PLACES", 12)
    values = torch.cat([torch.linspace(-1, 1, 51), torch.linspace(9, 11, 47)])
    found = best_partitions(values)[0]
    assert found.group.bincount().tolist() == pytest.approx([51, 47], abs=9)
    assert found.explained == pytest.approx(1 - by_brute_force(values.double().numpy(), 2)[0] / 2535, abs=0.1)


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0, 2.0], [math.nan, math.nan], [math.nan, 5.0], []], ids=len)
def test_without_two_different_values_there_are_no_groups(values: list[float]) -> None:
    assert best_partitions(torch.tensor(values)) == []
    assert group_doubt(torch.tensor(values), torch.tensor(values), 0.4, 0.75, 1).tolist() == [0.0] * len(values)


def test_two_values_are_two_groups_and_no_more() -> None:
    (found,) = best_partitions(torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0]))
    assert found.group.tolist() == [1, 0, 0, 1, 0]
    assert found.means.tolist() == [0.0, 1.0]
    assert found.explained == pytest.approx(1.0)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_what_groups_leave_of_a_normal_distribution(k: int) -> None:
    normal = torch.from_numpy(stats.norm.ppf((np.arange(900) + 0.5) / 900))
    assert 1 - best_partitions(normal)[k - 2].explained == pytest.approx(LEFT_OF_NORMAL[k], abs=4e-3)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_how_clear_groups_are(k: int) -> None:
    """By themselves from a uniform distribution on; where the image tells, from a normal one to a uniform one."""
    uniform, normal = 1 - 1 / k**2, 1 - LEFT_OF_NORMAL[k]
    assert [clearness(k, eta, 0.75, told=False) for eta in (uniform, 1.0)] == pytest.approx([0, 1])
    told = [clearness(k, eta, 0.75, told=True) for eta in (normal, (normal + uniform) / 2, uniform)]
    assert told == pytest.approx([0, 0.5, 1])
    assert clearness(2, 0.85, 0.8, told=False) == pytest.approx(4 * (0.85 - 0.8) / 0.2)  # two: from `explained` on


@pytest.mark.parametrize("factor", [0.98, 1.02])
@pytest.mark.parametrize("sign", [-1, 1])
def test_welch_against_scipy_and_the_group_of_less_contrast_is_no_reference(factor: float, sign: int) -> None:
    """Thirty cases against ten; their means are moved until t is just below, or just above, what counts as certain."""
    random = np.random.default_rng(0)
    many, few = random.normal(1, 0.1, 30), random.normal(1, 0.2, 10)
    error = math.sqrt(many.var(ddof=1) / 30 + few.var(ddof=1) / 10)
    few += many.mean() - few.mean() + sign * factor * CERTAIN * error
    both = [torch.tensor([*many, math.nan]), torch.from_numpy(few)]
    assert welch(*both) == pytest.approx(stats.ttest_ind(many, few, equal_var=False).statistic)
    assert reference_group([30, 10], both) == int(factor > 1 and sign == 1)


def test_welch_of_a_single_case_tells_nothing_and_of_certain_values_all() -> None:
    assert welch(torch.tensor([2.0, math.nan]), torch.ones(3)) == 0
    assert welch(torch.ones(2), torch.ones(3)) == 0
    assert welch(torch.full((2,), 1.2), torch.ones(3)) > CERTAIN


def test_where_the_image_tells_nothing_the_largest_group_is_the_reference() -> None:
    assert reference_group([3, 9, 5], [UNKNOWN] * 3) == 1
    assert reference_group([9, 9, 5], [UNKNOWN] * 3) is None
    assert reference_group([9, 9, 5], [torch.tensor([1.2, 1.1]), torch.tensor([0.9, 0.8]), UNKNOWN]) is None


def drawn(seed: int, *groups: tuple[int, float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """δ and contrasts of groups of (cases, mean δ, mean contrast)."""
    random = np.random.default_rng(seed)
    values = np.concatenate([random.normal(mean, 0.3, number) for number, mean, _ in groups])
    contrast = np.concatenate([random.normal(shown, 0.1, number) for number, _, shown in groups])
    return torch.from_numpy(values), torch.from_numpy(contrast)


def doubt_by_otsu(values: NDArray[np.float64], contrast: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rule for two groups, written with thresholds and SciPy."""
    splits = [(values <= threshold, values > threshold) for threshold in np.sort(values)[:-1]]
    left = [sum(values[group].var() * group.mean() for group in split) for split in splits]
    low, high = splits[int(np.argmin(left))]
    eta = 1 - min(left) / values.var()
    t = stats.ttest_ind(contrast[high], contrast[low], equal_var=False).statistic
    wrong = (high if t < 0 else low) if abs(t) > 5 else (high if high.sum() < low.sum() else low)
    clear = (eta - 2 / math.pi) / (0.75 - 2 / math.pi) if abs(t) > 5 else 4 * (eta - 0.75) / 0.25
    distance = values[high].mean() - values[low].mean()
    return wrong * (1 if wrong is high else -1) * np.clip(distance / 0.8 - 1, 0, 1) * np.clip(clear, 0, 1)


@pytest.mark.parametrize("shown", [(1.0, 1.0), (1.2, 0.9), (0.9, 1.2)])
@pytest.mark.parametrize("sizes", [(20, 12), (12, 20)])
@pytest.mark.parametrize("distance", [-1.6, 1.0, 2.4])
def test_two_groups_as_otsu(shown: tuple[float, float], sizes: tuple[int, int], distance: float) -> None:
    """Where the image shows no border, or shows which is right."""
    values, contrast = drawn(3, (sizes[0], 0.0, shown[0]), (sizes[1], distance, shown[1]))
    expected = doubt_by_otsu(values.numpy(), contrast.numpy())
    assert np.abs(expected).max() > 0.2
    np.testing.assert_allclose(group_doubt(values, contrast, 0.4, 0.75, 5), expected, atol=1e-9)


def test_three_groups_are_told_from_the_largest() -> None:
    values, contrast = drawn(0, (30, 0.0, 1.0), (15, 1.8, 1.0), (15, -1.8, 1.0))
    found = group_doubt(values, contrast, 0.4, 0.75, 5)
    assert found[:30].abs().max() == 0
    assert found[30:45].min() > 0.9
    assert found[45:].max() < -0.9


@pytest.mark.parametrize("theirs", [1.2, 1.02])
def test_where_the_image_shows_borders_it_acquits_a_group_of_as_much_contrast(theirs: float) -> None:
    """A sick organ is drawn as well as the others, and lies off as it is rare."""
    values, contrast = drawn(1, (28, 0.0, 1.2), (12, -1.8, theirs))
    found = group_doubt(values, contrast, 0.4, 0.75, 5)
    assert found[:28].abs().max() == 0
    assert (found[28:].min() < -0.9) == (theirs < 1.1)


def test_groups_of_fewer_cases_and_closer_ones_are_none() -> None:
    values, contrast = drawn(2, (20, 0.0, 1.0), (6, 2.5, 1.0))
    assert group_doubt(values, contrast, 0.4, 0.75, 6).any()
    assert not group_doubt(values, contrast, 0.4, 0.75, 7).any()
    assert not group_doubt(values, contrast, 1.3, 0.75, 6).any()
