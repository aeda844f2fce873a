"""The numbers that a record makes of ω: by hand and against NumPy."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch

from nnunetv2_dale.dale.step_record import (
    HISTOGRAM_BINS,
    AlternatingRecord,
    StepRecord,
    WholeBatch,
    histogram_of,
    spread_of,
)


def test_mean_and_spread_by_hand() -> None:
    mean, std = spread_of(torch.tensor([1.0, 3.0, 1.0, 3.0]).view(2, 1, 1, 2))
    assert (mean, std) == (2, 1)  # of all voxels, not of a sample of them
    assert spread_of(torch.ones(1, 1, 1, 1))[1] == 0


def test_the_histogram_is_numpys_and_what_lies_above_2_is_in_its_last_bin() -> None:
    weights = torch.rand(3, 1, 20, 20) * 2.5
    expected, _ = np.histogram(weights.clamp(max=2).numpy(), bins=HISTOGRAM_BINS, range=(0, 2))
    np.testing.assert_allclose(histogram_of(weights).numpy(), expected / weights.numel(), atol=1e-6)
    assert histogram_of(torch.full((1, 1, 2, 2), 7.0)).tolist() == [0.0] * 9 + [1.0]


def test_a_whole_batch_has_what_an_iteration_has_and_less() -> None:
    assert {each.name for each in fields(WholeBatch)} < {each.name for each in fields(AlternatingRecord)}
    assert isinstance(WholeBatch(torch.tensor(1.0)), StepRecord)
