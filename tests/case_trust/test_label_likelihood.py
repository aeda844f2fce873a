"""The likelihood of a label, and the confidence it gives."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.case_trust.label_likelihood import (
    class_means,
    class_probabilities,
    label_probability,
    learned,
    likelihood_weights,
)


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


def test_class_means_by_hand():
    """Class 1 has .2 and .4, mean .3; background .9 and .6, mean .75, the ignored .1 aside."""
    foreground = torch.tensor([[[0.2, 0.4, 0.1, 0.4, 0.9]]])
    probabilities = torch.cat([1 - foreground, foreground], dim=1)
    labels, valid = torch.tensor([[[1, 1, 0, 0, 0]]]), torch.tensor([[[True, True, True, True, False]]])
    found = class_means(probabilities, labels, valid)
    assert_close(found, torch.tensor([[[0.3, 0.3, 0.75, 0.75, 0.75]]]))
    assert learned(found, 0.5).flatten().tolist() == [False, False, True, True, True]


def test_each_sample_has_means_of_its_own():
    """An object that one image shows well does not vouch for one that is not found in another."""
    foreground = torch.tensor([[[0.9, 0.8]], [[0.1, 0.3]]])
    labels = torch.ones(2, 1, 2, dtype=torch.int16)
    found = class_means(torch.cat([1 - foreground, foreground], dim=1), labels, None)
    assert_close(found, torch.tensor([[[0.85, 0.85]], [[0.2, 0.2]]]))
    of_regions = class_means(foreground, labels.float(), None, regions=True)
    assert_close(of_regions, found)


def test_class_means_of_regions_by_hand():
    probabilities = torch.tensor([[[0.2, 0.4, 0.5], [0.9, 0.8, 0.1]]])
    regions = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]])
    found = class_means(probabilities, regions, None, regions=True)  # yes .2 .4, no .5; no .1, yes .8 .1
    assert_close(found, torch.tensor([[[0.3, 0.3, 0.5], [0.1, 0.45, 0.45]]]))
    assert learned(found, 0.4).flatten().tolist() == [False, False, True]
