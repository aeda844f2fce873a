"""ω from the likelihood: what each source doubts, on squares drawn as the network draws them or two voxels wider."""

from __future__ import annotations

import pytest
import torch
from nnunetv2_dale.case_trust.likelihood_confidence import LikelihoodConfidence
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss

CASES = [f"case {number}" for number in range(5)]
OURS = DaleConfig(updates="whole_batch", confidence_source="likelihood", alignment_weight=0.0, displacement_fewest=2)


def _squares(*wider: int) -> Tensor:
    """Label maps (B, 1, 24, 24) of squares of 8, so many voxels wider on each side."""
    labels = torch.zeros(len(wider), 1, 24, 24, dtype=torch.int16)
    for label, each in zip(labels, wider, strict=True):
        label[:, 8 - each : 16 + each, 8 - each : 16 + each] = 1
    return labels


def _logits(inside: float = 0.9) -> Tensor:
    """Of a network that gives the square of 8 and what is around it the probability `inside` of being right."""
    foreground = torch.where(_squares(0, 0, 0, 0, 0) == 1, inside, 1 - inside)
    return torch.cat([1 - foreground, foreground], dim=1).log()


def _confidence(source: str, given: Tensor, inside: float = 0.9, **settings: object) -> Tensor:
    confidence = LikelihoodConfidence(MaskedLoss(), OURS.updated({"confidence_source": source, **settings}))
    confidence(_logits(inside), given, CASES, trust_all=True)
    confidence.look_for_groups()
    return confidence(_logits(inside), given, CASES)


def _rim(given: Tensor) -> Tensor:
    """What is labelled beyond the square of 8."""
    return (given == 1) & (_squares(0, 0, 0, 0, 0) == 0)


def test_the_likelihood_doubts_every_unlikely_label():
    given = _squares(0, 2, 0, 1, 2)
    assert_close(_confidence("likelihood", given), torch.where(_rim(given), 0.1 / 0.5, 1.0))


def test_an_object_that_is_not_found_is_not_judged():
    """Labels with a mean probability below the limit keep their weight, in this sample; others do not."""
    given = _squares(0, 2, 0, 1, 2)  # mean probability of the labels: .9, .46, .9, .61, .46
    expected = torch.where(_rim(given), 0.1 / 0.5, 1.0)
    expected[[1, 4]] = 1.0
    assert_close(_confidence("likelihood", given, likelihood_learned=0.5), expected)


def test_the_gate_opens_with_the_spread_of_the_cases():
    same, different = _squares(1, 1, 1, 1, 1), _squares(0, 2, 0, 1, 2)
    assert_close(_confidence("gated", same), torch.ones(5, 1, 24, 24))
    assert_close(_confidence("gated", different), _confidence("likelihood", different))  # spread 1.1 against 0.4


@pytest.mark.parametrize("inside", [0.9, 0.999])
def test_of_two_groups_only_the_smaller_is_doubted(inside: float):
    """By p²: in the voxels of a label that is too large, and outside of one that is too small."""
    doubted = torch.zeros(5, 1, 24, 24, dtype=torch.bool)
    doubted[[1, 4]] = True
    given = _squares(0, 2, 0, 0, 2)
    p = torch.where(_rim(given), 1 - inside, inside)
    assert_close(_confidence("grouped", given, inside), torch.where(doubted & (given == 1), p**2, 1.0))
    given = _squares(2, 0, 2, 2, 0)
    assert_close(_confidence("grouped", given, inside), torch.where(doubted & (given == 0), inside**2, 1.0))


@pytest.mark.parametrize("wider", [(0, 0, 0, 0, 0), (2, 2, 2, 2, 2), (-2, -1, 0, 1, 2)])
def test_without_two_groups_every_label_is_trusted(wider: tuple[int, ...]):
    found = _confidence("grouped", _squares(*wider), displacement_groups=0.9)
    assert_close(found, torch.ones(5, 1, 24, 24))


def test_a_group_of_fewer_cases_is_none():
    given = _squares(0, 2, 0, 0, 2)
    assert_close(_confidence("grouped", given, displacement_fewest=3), torch.ones(5, 1, 24, 24))


def test_cases_are_remembered_while_all_are_trusted():
    confidence = LikelihoodConfidence(MaskedLoss(), OURS.updated({"confidence_source": "grouped"}))
    given = _squares(0, 2, 0, 0, 2)
    assert_close(confidence(_logits(), given, CASES, trust_all=True), torch.ones(5, 1, 24, 24))
    # Σp = 64 · 0.9 + 512 · 0.1 = 108.8 in all cases: (144 − 108.8) / 44 edge voxels against (64 − 108.8) / 28
    assert confidence.look_for_groups() == [
        "label 1: 2 of 5 cases are drawn 2.4 voxels wider than the others, and are doubted (100%)"
    ]


def test_other_sources_look_for_no_groups():
    confidence = LikelihoodConfidence(MaskedLoss(), OURS.updated({"confidence_source": "gated"}))
    confidence(_logits(), _squares(0, 2, 0, 0, 2), CASES)
    assert confidence.look_for_groups() == []
