"""The numbers of an epoch: means, the count of non-finite iterations, the histogram."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_dale.dale.alternating_step import StepRecord
from nnunetv2_dale.trainer.training_log import SCALARS, numbers_of, numbers_of_epoch


def record(value: float, non_finite: float) -> StepRecord:
    scalars = {name: torch.tensor(value) for name in SCALARS} | {"non_finite": torch.tensor(non_finite)}
    return StepRecord(**scalars, confidence_histogram=torch.full((10,), value))


def test_an_epoch_by_hand():
    outputs = [{"dale": numbers_of(each).numpy()} for each in (record(1, 1), record(2, 0), record(6, 1))]
    numbers, histogram = numbers_of_epoch(outputs, over_ranks=False)
    assert numbers == dict.fromkeys(SCALARS, pytest.approx(3)) | {"non_finite": 2.0}
    assert histogram == [3.0] * 10
