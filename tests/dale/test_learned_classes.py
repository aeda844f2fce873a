"""Sums of probability per class by a loop, and the moving means by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale.dale.learned_classes import LearnedClasses, class_sums
from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.dale.masked_loss import MaskedLoss


def voxels_of(maps: Tensor) -> list[list[float]]:
    """(B, K, H, W) as one list of K numbers per voxel."""
    return maps.movedim(1, -1).flatten(0, 2).tolist()


def test_sums_of_label_maps_by_a_loop() -> None:
    logits, target = torch.randn(2, 3, 5, 4), torch.randint(0, 4, (2, 1, 5, 4))  # 3 is to be ignored
    expected = torch.zeros(2, 3)
    for scores, (value,) in zip(voxels_of(logits), voxels_of(target), strict=True):
        label = int(value)
        if label == 3:
            continue
        expected[0, label] += math.exp(scores[label]) / sum(map(math.exp, scores))
        expected[1, label] += 1
    found = class_sums([logits, logits[:, :, ::2]], target, MaskedLoss(ignore_label=3))
    assert_close(found, expected)


def test_sums_of_regions_by_a_loop() -> None:
    logits, target = torch.randn(2, 2, 5, 4), (torch.rand(2, 3, 5, 4) > 0.6).to(torch.int16)
    expected = torch.zeros(2, 2)
    for scores, (*regions, ignored) in zip(voxels_of(logits), voxels_of(target), strict=True):
        for region, inside in enumerate(regions):
            if inside and not ignored:
                expected[0, region] += 1 / (1 + math.exp(-scores[region]))
                expected[1, region] += 1
    assert_close(class_sums(logits, target, MaskedLoss(regions=True, ignore_channel=True)), expected)


def test_a_voxel_that_is_ignored_or_taken_out_is_no_background() -> None:
    logits = torch.zeros(1, 2, 1, 3)
    ignored, own = (torch.tensor(values).view(1, 1, 1, 3) for values in ([5, 5, 1], [0, 0, 1]))
    taken_out = KnownTargets([own], torch.tensor([0.0, 0.0, 0.3]).view(1, 1, 1, 3))
    for loss, targets in ((MaskedLoss(ignore_label=5), ignored), (MaskedLoss(), taken_out)):
        assert class_sums(logits, targets, loss).tolist() == [[0.0, 0.5], [0.0, 1.0]]


def test_half_precision_is_summed_in_single_precision() -> None:
    logits = torch.zeros(1, 2, 100, 100, dtype=torch.float16)  # 10,000 voxels would end at 2,048 halves
    sums = class_sums(logits, torch.zeros(1, 1, 100, 100), MaskedLoss())
    assert sums[:, 0].tolist() == [5000.0, 10000.0]


def test_the_moving_means_by_hand() -> None:
    classes = LearnedClasses(0.5)
    assert (classes.probabilities, classes.voxels, classes.below(1.0)) == ([], [], [])
    classes.observe([[8.0, 1.0, 0.0], [10.0, 4.0, 0.0]])
    assert classes.probabilities[:2] == [0.8, 0.25]
    assert math.isnan(classes.probabilities[2])
    assert (classes.below(0.5), classes.at_least(0.5)) == ([1], [0])  # class 2 has not been shown: neither
    classes.observe([[0.0, 3.0, 0.0], [0.0, 4.0, 0.0]])
    assert classes.probabilities[:2] == pytest.approx([0.8, (0.9 * 1 + 3) / (0.9 * 4 + 4)])
    assert classes.voxels == pytest.approx([9.0, 7.6, 0.0])


@pytest.mark.parametrize("overflow", [math.nan, math.inf])
def test_a_batch_that_overflowed_is_not_remembered(overflow: float) -> None:
    classes = LearnedClasses(0.5)
    classes.observe([[8.0, 1.0], [10.0, 4.0]])
    before = classes.probabilities
    classes.observe([[overflow, 1.0], [10.0, 4.0]])
    assert classes.probabilities == before
    assert (classes.below(0.5), classes.at_least(0.5)) == ([1], [0])


def test_a_class_without_probability_at_all_counts_as_shown() -> None:
    classes = LearnedClasses(0.5)
    classes.observe([[0.0], [3.0]])
    assert classes.below(0.5) == [0]


def test_it_goes_on_from_an_earlier_state() -> None:
    first, second = LearnedClasses(0.5), LearnedClasses(0.5)
    first.observe([[8.0, 1.0, 0.0], [10.0, 4.0, 0.0]])
    second.restore(first.probabilities, first.voxels)
    for classes in (first, second):
        classes.observe([[1.0, 1.0, 2.0], [10.0, 2.0, 4.0]])
    assert second.probabilities == pytest.approx(first.probabilities)
    assert second.voxels == first.voxels
    second.restore([], [])
    assert second.probabilities == []
