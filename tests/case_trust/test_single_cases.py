"""Single cases off the others: a loop with SciPy's Welch test, the mode by hand, and labels that are moved."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nnunetv2_dale.case_trust.single_cases import half_sample_mode, shift_doubt, single_case_doubt


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0], 1.5),
        ([0.0, 1.0, 1.5], 1.25),  # of three the closer two
        ([0.0, 0.5, 1.5], 0.25),
        ([-4.0, -1.0, 0.0, 0.1, 0.3, 2.0, 5.0, 9.0], 0.05),  # −1, 0, .1, .3; then 0, .1
    ],
)
def test_the_half_sample_mode_by_hand(values: list[float], mode: float) -> None:
    assert half_sample_mode(torch.tensor(values[::-1])) == pytest.approx(mode)


def cases(seed: int, lower: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Forty cases that agree, nine that lie off on both sides and whose borders show less by so much, and unknown."""
    random = np.random.default_rng(seed)
    values = [*random.normal(0.3, 0.2, 40), *random.choice([-1, 1], 9) * random.uniform(0.9, 3, 9), math.nan, 1.0]
    contrast = [*random.normal(1.2, 0.1, 40), *random.normal(1.2 - lower, 0.1, 9), 1.0, math.nan]
    return torch.tensor(values), torch.tensor(contrast)


@pytest.mark.parametrize("lower", [0.12, 0.2, 0.4])
def test_against_a_loop_over_cases(lower: float) -> None:
    values, contrast = cases(5, lower)
    known = [(float(d), float(c)) for d, c in zip(values, contrast, strict=True) if not math.isnan(d + c)]
    middle = sorted(c for _, c in known)[(len(known) - 1) // 2]
    mode = half_sample_mode(torch.tensor([d for d, c in known if c >= middle]))
    near, far = ([c for d, c in known if (abs(d - mode) < 0.8) == inside] for inside in (True, False))
    z = stats.ttest_ind(near, far, equal_var=False).statistic
    assert z > 2
    found = single_case_doubt(values, contrast, 0.4, 5)
    for each, d, c in zip(found.tolist(), values.tolist(), contrast.tolist(), strict=True):
        relative = (c - 1) / (np.mean(near) - 1)  # near borders show
        less = min(np.clip((np.mean(near) - c) / (np.mean(near) - np.mean(far)), 0, 1), np.clip(1 - 2 * relative, 0, 1))
        size = np.clip(abs(d - mode) / 0.8 - 1, 0, 1) * np.clip((z - 2) / 3, 0, 1) * less
        expected = 0.0 if math.isnan(d + c) else math.copysign(size, d - mode)
        assert each == pytest.approx(expected, abs=1e-6)


def test_cases_whose_borders_show_as_much_are_trusted() -> None:
    assert not single_case_doubt(*cases(5, 0.0), 0.4, 5).any()


def test_poor_images_cost_right_labels_little() -> None:
    """Less contrast and a larger displacement go together; without the last term it is .019."""
    found = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        quality = random.normal(size=140)
        values, contrast = (
            quality + 0.6 * random.normal(size=140),
            1.5 - 0.15 * quality + 0.25 * random.normal(size=140),
        )
        found.append(float(single_case_doubt(torch.tensor(values), torch.tensor(contrast), 0.4, 5).abs().mean()))
    assert np.mean(found) < 0.01


def test_a_few_cases_tell_nothing() -> None:
    values, contrast = cases(5, 0.4)
    assert single_case_doubt(values, contrast, 0.4, 5).any()
    assert not single_case_doubt(values, contrast, 0.4, 12).any()
    assert not single_case_doubt(values[:6], contrast[:6], 0.4, 5).any()


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [(1.6, 0.9, True), (1.6, 1.2, False), (1.0, 0.5, False)],
    ids=["moved", "two scanners", "no border in the image"],
)
def test_moved_labels_are_those_whose_borders_alone_the_image_does_not_show(right: float, wrong: float, found) -> None:
    random = np.random.default_rng(1)
    contrast = torch.tensor([*random.normal(right, 0.05, 20), *random.normal(wrong, 0.05, 10), math.nan])
    expected = [0.0] * 20 + [1.0 if found else 0.0] * 10 + [0.0]
    assert shift_doubt(contrast, 0.75, 5).tolist() == pytest.approx(expected, abs=1e-6)
    assert not shift_doubt(contrast, 0.75, 11).any()
