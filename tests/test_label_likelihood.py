"""The likelihood of a label, and the confidence it gives."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.label_likelihood import class_probabilities, label_probability, likelihood_weights


def test_probability_of_a_label_map_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [0.0, math.log(4)]]).reshape(1, 3, 2)
    probabilities = class_probabilities(logits)
    found = label_probability(probabilities, torch.tensor([[[1, 2]]]))
    assert_close(found, torch.tensor([[[1 / 3, 4 / 8]]]))


def test_of_regions_the_least_likely_answer_counts():
    logits = torch.tensor([[[math.log(3), 0.0], [math.log(4), -math.log(4)]]])  # p = .75 .5 / .8 .2
    probabilities = class_probabilities(logits, regions=True)
    given = torch.tensor([[[1.0, 1.0], [0.0, 1.0]]])
    assert_close(label_probability(probabilities, given, regions=True), torch.tensor([[[0.2, 0.2]]]))


def test_half_precision_logits_give_float32_without_a_graph():
    logits = torch.zeros(1, 2, 3, dtype=torch.float16, requires_grad=True)
    probabilities = class_probabilities(logits)
    assert probabilities.dtype == torch.float32
    assert not probabilities.requires_grad


@pytest.mark.parametrize(
    ("threshold", "exponent", "expected"),
    [(0.5, 1.0, [0.0, 0.2, 1.0, 1.0]), (1.0, 2.0, [0.0, 0.01, 0.25, 1.0]), (0.2, 1.0, [0.0, 0.5, 1.0, 1.0])],
)
def test_weights_by_hand(threshold, exponent, expected):
    found = likelihood_weights(torch.tensor([0.0, 0.1, 0.5, 1.0]), threshold, exponent)
    assert_close(found, torch.tensor(expected))
