"""v as a moving average over iterations, by hand."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.dale.gradient_average import GradientAverage


def test_the_average_of_gradients_by_hand():
    average = GradientAverage(0.75)
    first = average([torch.tensor([4.0]), torch.tensor([[8.0]])])
    assert [part.item() for part in first] == [1.0, 2.0]  # a quarter of each; its length does not matter
    second = average([torch.tensor([0.0]), torch.tensor([[4.0]])])
    assert [part.item() for part in second] == [0.75, 2.5]
    average.forget()
    assert average([torch.tensor([4.0])])[0].item() == 1.0


def test_without_memory_each_gradient_stands_alone():
    average, gradient = GradientAverage(0.0), [torch.tensor([4.0])]
    assert average(gradient) is gradient


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_leaves_no_trace(bad):
    average = GradientAverage(0.5)
    average([torch.tensor([4.0, 4.0])])
    given = average([torch.tensor([bad, 1.0])])[0]
    assert not torch.isfinite(given).all()  # told on, so that the meta step knows
    assert_close(average([torch.tensor([0.0, 0.0])])[0], torch.tensor([0.5, 0.5]))
