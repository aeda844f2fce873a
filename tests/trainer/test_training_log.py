"""The numbers of an epoch: means, the count of non-finite iterations, the histogram."""

from __future__ import annotations

import math

import pytest
import torch

from nnunetv2_dale.dale.step_record import AlternatingRecord, WholeBatch
from nnunetv2_dale.trainer.training_log import NUMBERS, SCALARS, numbers_of, numbers_of_epoch


def record(value: float, non_finite: float) -> AlternatingRecord:
    scalars = {name: torch.tensor(value) for name in SCALARS} | {"non_finite": torch.tensor(non_finite)}
    return AlternatingRecord(**scalars, confidence_histogram=torch.full((10,), value))


def test_an_epoch_of_nothing_but_algorithm_1_by_hand():
    outputs = [{"dale": numbers_of(each).numpy()} for each in (record(1, 1), record(2, 0), record(6, 1))]
    numbers, histogram = numbers_of_epoch(outputs, over_ranks=False, cost_of_algorithm=4.0)
    expected = dict.fromkeys(NUMBERS, pytest.approx(3)) | {"non_finite": 2.0, "share": 1.0, "plain_iterations": 4.0}
    assert numbers == expected
    assert histogram == [3.0] * 10


def test_whole_batches_count_only_where_they_have_the_number():
    """Two of five batches are Algorithm 1; of the others one has a trust of cases."""
    whole = [WholeBatch(loss=torch.tensor(9.0)) for _ in range(2)]
    trusted = WholeBatch(loss=torch.tensor(9.0), case_mean=torch.tensor(0.0), case_std=torch.tensor(3.0))
    outputs = [{"dale": numbers_of(each).numpy()} for each in (*whole, record(1, 0), trusted, record(2, 1))]
    numbers, histogram = numbers_of_epoch(outputs, over_ranks=False, cost_of_algorithm=4.0)
    assert (numbers["share"], numbers["plain_iterations"]) == (0.4, pytest.approx(2.2))  # (3 · 1 + 2 · 4) / 5
    assert (numbers["case_mean"], numbers["case_std"]) == (1.0, 2.0)
    assert (numbers["meta_mean"], numbers["alignment"], numbers["non_finite"]) == (1.5, 1.5, 1.0)
    assert histogram == [1.5] * 10


def test_an_epoch_of_whole_batches_has_no_numbers_of_algorithm_1():
    outputs = [{"dale": numbers_of(WholeBatch(loss=torch.tensor(9.0))).numpy()}]
    numbers, histogram = numbers_of_epoch(outputs, over_ranks=False, cost_of_algorithm=4.0)
    assert (numbers["share"], numbers["plain_iterations"], numbers["non_finite"]) == (0.0, 1.0, 0.0)
    assert all(math.isnan(numbers[name]) for name in ("meta_mean", "alignment", "confidence_std"))
    assert all(math.isnan(part) for part in histogram)
