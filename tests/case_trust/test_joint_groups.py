"""Groups that overlap: against NumPy, what must not change them, and honest cases that must not be down-weighted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.testing import assert_close

from nnunetv2_dale.case_trust.joint_groups import joint_doubt, standard_errors_above_chance, standardised

Table = NDArray[np.float64]


def overlapping(seed: int, tied: bool = True, cases: int = 140) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.bool_]]:
    """Three classes, of which two are drawn wider in a part of the cases; the third is inside of another."""
    random = np.random.default_rng(seed)
    wrong = np.arange(cases) < 0.45 * cases
    off, shown = random.normal(size=(2, cases, 3)) * np.array([[1.3, 0.7, 0.4], [0.3, 0.3, 0.3]])[:, None]
    off[:, :2] += np.where(wrong, 0.7, -0.8)[:, None]
    shown += np.array([1.6, 1.4, 1.3])
    if tied:
        shown[:, 0] -= 0.5 * wrong
    return torch.from_numpy(off), torch.from_numpy(shown), wrong


def in_numpy(off: Table, shown: Table, sure: float) -> Table:
    """The formula by eigenvectors, thresholds in a loop, and sums over classes written out."""
    z_off, z_shown = ((each - each.mean(0)) / each.std(0) for each in (off, shown))
    covariance = z_off.T @ z_shown
    _, vectors = np.linalg.eigh(covariance @ covariance.T)
    u = vectors[:, -1]
    v = covariance.T @ u
    scores = [z_off @ u, z_shown @ v]
    t = sum(each / each.std() for each in scores)
    left = {cut: sum(part.var() * len(part) for part in (t[t <= cut], t[t > cut])) for cut in np.sort(t)[:-1]}
    cut = min(left, key=lambda each: left[each])
    high = t > cut
    wrong = high if z_shown[high].mean() < z_shown[~high].mean() else ~high
    half_way = (t[high].mean() + t[~high].mean()) / 2
    member = np.clip((t - half_way) / (t[wrong].mean() - half_way), 0, 1)
    eta = 1 - left[cut] / (t.var() * len(t))
    normal = 2 / math.pi + 0.3 / math.sqrt(len(t))
    clear = np.clip((eta - normal) / (0.75 - normal), 0, 1)
    expected = np.zeros_like(off)
    for k in range(3):
        apart = off[wrong, k].mean() - off[~wrong, k].mean()
        expected[:, k] = np.sign(apart) * np.clip(abs(apart) / 0.8 - 1, 0, 1) * sure * clear * member
    return expected


@pytest.mark.parametrize("seed", range(3))
def test_against_numpy(seed: int) -> None:
    off, shown, _ = overlapping(seed)
    z = standard_errors_above_chance(standardised(off), standardised(shown))
    expected = in_numpy(off.numpy(), shown.numpy(), float(np.clip((z - 2) / 3, 0, 1)))
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(joint_doubt(off, shown, 0.4, 0.75, 5), expected, atol=1e-9)


def test_most_of_the_wrong_cases_are_found_and_in_the_classes_that_differ() -> None:
    found, wrong, right = torch.zeros(140, 3, dtype=torch.float64), 0.0, 0.0
    for seed in range(5):
        off, shown, is_wrong = overlapping(seed)
        found = joint_doubt(off, shown, 0.4, 0.75, 5)
        wrong += float(found[is_wrong, 1].mean()) / 5
        right += float(found[~is_wrong, 1].mean()) / 5
        assert not found[:, 2].any()
    assert wrong > 0.4
    assert right < 0.1


def test_signs_and_scales_and_the_order_of_cases_do_not_matter() -> None:
    off, shown, _ = overlapping(0)
    found = joint_doubt(off, shown, 0.4, 0.75, 5)
    assert_close(joint_doubt(-off, 3 * shown, 0.4, 0.75, 5), -found)
    order = torch.randperm(140, generator=torch.Generator().manual_seed(1))
    assert_close(joint_doubt(off[order], shown[order], 0.4, 0.75, 5), found[order], atol=0.05, rtol=0)  # other shuffles


@pytest.mark.parametrize("seed", range(3))
def test_groups_whose_borders_show_as_much_are_trusted(seed: int) -> None:
    off, shown, _ = overlapping(seed, tied=False)
    assert joint_doubt(off, shown, 0.4, 0.75, 5).abs().mean() < 0.02


def test_poor_images_whose_labels_lie_wider_are_one_group() -> None:
    """Displacement and contrast are tied, but nothing has two peaks."""
    found = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        quality = random.normal(size=(140, 1))
        off = torch.from_numpy(0.7 * quality + 0.5 * random.normal(size=(140, 3)))
        shown = torch.from_numpy(1.5 - 0.2 * quality + 0.1 * random.normal(size=(140, 3)))
        assert standard_errors_above_chance(standardised(off), standardised(shown)) > 5
        found.append(float(joint_doubt(off, shown, 0.4, 0.75, 5).abs().mean()))
    assert np.mean(found) < 0.03


@pytest.mark.parametrize("cases", [0, 1, 3])
def test_a_few_cases_tell_nothing(cases: int) -> None:
    off, shown, _ = overlapping(0)
    assert not joint_doubt(off[:cases], shown[:cases], 0.4, 0.75, 5).any()


def test_what_is_not_known_counts_as_the_mean() -> None:
    values = torch.tensor([[1.0, 2.0, math.nan], [3.0, 2.0, math.nan], [math.nan, 2.0, math.nan]])
    assert_close(standardised(values), torch.tensor([[-1.0, 0, 0], [1, 0, 0], [0, 0, 0]]).double())
    assert not joint_doubt(values, values, 0.4, 0.75, 1).any()


def test_the_distance_from_chance_against_shuffling_once_more() -> None:
    off, shown, _ = overlapping(4)
    z = standard_errors_above_chance(standardised(off), standardised(shown))
    random, by_chance = np.random.default_rng(0), []
    columns = [((each - each.mean(0)) / each.std(0)).numpy() for each in (off.double(), shown.double())]
    columns = [each / np.sqrt((each**2).mean(0)) for each in columns]
    for _ in range(2000):
        by_chance.append(np.linalg.svd(columns[0].T @ random.permutation(columns[1]))[1][0])
    expected = (np.linalg.svd(columns[0].T @ columns[1])[1][0] - np.mean(by_chance)) / np.std(by_chance)
    assert z == pytest.approx(expected, rel=0.25)
