"""The trust of cases: what is doubted, on squares drawn as the network draws them or two voxels wider."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from tests.case_trust.fixtures import CASES, logits_of_squares, squares

CONFIG = CaseTrustConfig(fewest=2)
NOTHING_TO_SEE = torch.zeros(5, 1, 24, 24)


def trust_after(given: Tensor, inside: float = 0.9, **settings: float) -> tuple[CaseTrust, Tensor | None]:
    """One look at the five cases, then the groups, then the weights."""
    trust = CaseTrust(MaskedLoss(), CONFIG.updated(settings), batches=100)
    assert (
        trust.observe_and_weigh(NOTHING_TO_SEE, logits_of_squares(inside), given, CASES) is None
    )  # groups are not known yet
    trust.look_for_groups()
    return trust, trust.weigh(logits_of_squares(inside), given, CASES)


@pytest.mark.parametrize("inside", [0.9, 0.999])
def test_of_two_groups_only_the_smaller_is_doubted(inside: float) -> None:
    """By p²: in the voxels of a label that is too large, and outside of one that is too small."""
    doubted = torch.zeros(5, 1, 24, 24, dtype=torch.bool)
    doubted[[1, 4]] = True
    given = squares(0, 2, 0, 0, 2)
    rim = (given == 1) & (squares(0, 0, 0, 0, 0) == 0)
    p = torch.where(rim, 1 - inside, inside)
    assert_close(trust_after(given, inside)[1], torch.where(doubted & (given == 1), p**2, 1.0))
    given = squares(2, 0, 2, 2, 0)
    assert_close(trust_after(given, inside)[1], torch.where(doubted & (given == 0), inside**2, 1.0))


@pytest.mark.parametrize("wider", [(0, 0, 0, 0, 0), (2, 2, 2, 2, 2), (-2, -1, 0, 1, 2)])
def test_without_two_groups_every_label_is_trusted(wider: tuple[int, ...]) -> None:
    assert trust_after(squares(*wider), explained=0.9)[1] is None


def test_a_group_of_fewer_cases_is_none() -> None:
    assert trust_after(squares(0, 2, 0, 0, 2), fewest=3)[1] is None


@pytest.mark.parametrize("regions", [False, True])
def test_a_class_that_is_not_annotated_is_no_object_that_the_label_lacks(regions: bool) -> None:
    """The network finds a square of class 1 that the label of one case has not, as nobody annotated it there."""
    labels = torch.zeros(5, 1, 32, 32)
    labels[:, :, 20:28, 20:28] = 2
    labels[1:, :, 4:12, 4:12] = 1
    drawn = torch.cat([labels != 0, labels == 1, labels == 2], dim=1)[:, (1, 2) if regions else (0, 1, 2)].float()
    drawn[0, -2, 4:12, 4:12] = 1
    weight = torch.ones(5, drawn.shape[1])
    weight[0, -2] = 0
    images, given = labels + torch.rand(5, 1, 32, 32) / 10, drawn.clone() if regions else labels
    if regions:
        given[0, 0] = 0
    images[0, :, 4:12, 4:12] += 1
    trust = CaseTrust(MaskedLoss(regions=regions), CONFIG.updated({"fewest": 1}), batches=100)
    found = []
    for of_class in (None, weight):
        targets = KnownTargets([given], None, of_class)
        for _ in range(2):  # objects are looked at from the first look on
            trust.observe_and_weigh(images, drawn * 20 - 10, targets, CASES)
            trust.look_for_groups()
        found.append(trust.displacement.has_objects)
        trust = CaseTrust(MaskedLoss(regions=regions), CONFIG.updated({"fewest": 1}), batches=100)
    assert found == [True, False]


def test_a_voxel_of_confidence_0_shows_no_more_of_its_case_than_an_ignored_one() -> None:
    given = squares(0, 2, 0, 0, 2)
    out = torch.zeros_like(given, dtype=torch.bool)
    out[:, :, :, 12:] = True
    ignored, taken_out = torch.where(out, 9, given), KnownTargets([given], torch.where(out, 0.0, 0.4))
    sums = []
    for loss, targets in ((MaskedLoss(ignore_label=9), ignored), (MaskedLoss(), taken_out), (MaskedLoss(), given)):
        trust = CaseTrust(loss, CONFIG, batches=100)
        trust.observe_and_weigh(NOTHING_TO_SEE, logits_of_squares(0.9), targets, CASES)
        sums.append(trust.displacement.state())
    assert sums[0] == sums[1] != sums[2]


def test_the_segmentation_of_a_stage_before_is_no_image() -> None:
    """It has learned the contour of the majority, and would confirm it."""
    previous = squares(2, 2, 2, 2, 2).float()
    noise = torch.rand(previous.shape, generator=torch.Generator().manual_seed(0))
    found = []
    for images in (noise, torch.cat([noise, previous], dim=1)):
        trust = CaseTrust(MaskedLoss(), CONFIG, batches=100, image_channels=1)
        trust.observe_and_weigh(images, logits_of_squares(), squares(0, 2, 0, 0, 2), CASES)
        found.append(trust.displacement.state())
    assert found[0] == found[1]


def test_weighing_alone_remembers_nothing() -> None:
    trust, _ = trust_after(squares(0, 2, 0, 0, 2))
    before = trust.displacement.state()
    trust.weigh(logits_of_squares(), squares(2, 0, 0, 0, 2), CASES)
    assert trust.displacement.state() == before
    trust.observe_and_weigh(NOTHING_TO_SEE, logits_of_squares(), squares(2, 0, 0, 0, 2), CASES)
    assert trust.displacement.state() != before


@pytest.mark.parametrize(("start", "after", "first"), [(0.3, 0, 30), (0.3, 50, 50), (0.0, 0, 0), (1.0, 0, 100)])
def test_cases_may_be_doubted_after_a_part_of_the_training_and_so_many_batches(start: float, after: int, first) -> None:
    trust = CaseTrust(MaskedLoss(), CaseTrustConfig(start=start, after=after), batches=100)
    assert [batch for batch in range(110) if trust.may_doubt(batch)] == list(range(first, 110))


def test_without_names_it_says_what_it_expects() -> None:
    trust = CaseTrust(MaskedLoss(), CONFIG, batches=100)
    with pytest.raises(ValueError, match="expects the name of each sample's case"):
        trust.observe_and_weigh(NOTHING_TO_SEE, logits_of_squares(), squares(0, 2, 0, 0, 2), None)
