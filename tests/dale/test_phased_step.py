"""Which batches are Algorithm 1, by hand; and what the others are: plain training, update by update."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import Tensor, nn
from torch.testing import assert_close

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.phased_step import PhasedStep, Phases
from nnunetv2_dale.dale.step_record import AlternatingRecord, WholeBatch
from tests.dale.fixed_trust import FixedTrust
from tests.dale.networks import SCALES, small_batch, small_unet, step_on


def taken(batches: int, **settings: Any) -> list[int]:
    phases = Phases(DaleConfig(**settings), batches)
    return [batch for batch in range(batches) if phases.takes(batch)]


@pytest.mark.parametrize(
    ("batches", "settings", "expected"),
    [
        (5, {}, [0, 1, 2, 3, 4]),
        (6, {"every": 2}, [0, 2, 4]),
        (10, {"phase_in": 0.3}, [3, 4, 5, 6, 7, 8, 9]),
        (10, {"phase_in": 0.3, "every": 2}, [3, 5, 7, 9]),
        (10, {"phase_in": 0.3, "every": 4}, [3, 7]),
        (10, {"phase_in": 0.25, "every": 3}, [3, 6, 9]),
        (100, {"phase_in": 0.07, "every": 50}, [7, 57]),  # 0.07 · 100 is 7.000000000000001
        (100, {"phase_in": 0.29, "every": 50}, [29, 79]),  # 0.29 · 100 is 28.999999999999996
        (10, {"phase_in": 0.9, "every": 7}, [9]),
        (1000, {"phase_in": 0.999}, [999]),
        (10, {"phase_in": 0.3, "phase_out": 0.3}, [3, 4, 5, 6]),
        (10, {"phase_in": 0.3, "phase_out": 0.3, "every": 2}, [3, 5]),
        (10, {"phase_out": 0.25}, [0, 1, 2, 3, 4, 5, 6]),  # at least the part that was asked for
        (100, {"phase_out": 0.93, "every": 5}, [0, 5]),
        (100, {"phase_out": 0.07, "every": 92}, [0, 92]),  # 93 batches: 0.07 · 100 is 7.000000000000001
    ],
)
def test_which_batches(batches: int, settings: dict[str, Any], expected: list[int]) -> None:
    assert taken(batches, **settings) == expected


@pytest.mark.parametrize(
    ("batches", "phase_in", "phase_out"),
    [(1, 0.3, 0.0), (10, 0.95, 0.0), (3, 0.7, 0.0), (0, 0.0, 0.0), (1, 0.0, 0.3), (3, 0.3, 0.4), (10, 0.5, 0.45)],
)
def test_a_training_that_leaves_none_is_refused(batches: int, phase_in: float, phase_out: float) -> None:
    told = (
        rf'"phase_in" {phase_in:g} and "phase_out" {phase_out:g} leave none of the {batches} batches of this training '
        "for Algorithm 1; lower one"
    )
    with pytest.raises(ValueError, match=told):
        Phases(DaleConfig(phase_in=phase_in, phase_out=phase_out), batches)


def run(phases: Phases, shown: list[list[float] | None]) -> list[int]:
    """The batches taken, where each whole batch shows the classes' probabilities (10,000 voxels: the past is nothing).

    Args:
        shown: per batch, None where nothing is shown.
    """
    found = []
    for batch, probabilities in enumerate(shown):
        if phases.takes(batch):
            found.append(batch)
        elif probabilities is not None:
            phases.classes.observe([[1e4**batch * p for p in probabilities], [1e4**batch] * len(probabilities)])
    return found


def test_it_begins_when_every_class_is_learned() -> None:
    phases = Phases(DaleConfig(phase_in=0.2, learned=0.4), 10)
    shown: list[list[float] | None] = [[0.9, 0.1], [0.9, 0.1], [0.9, 0.39], [0.9, 0.41], None, None]
    assert run(phases, shown) == [4, 5]
    assert phases.news == ["batch 4: Algorithm 1 from here on, every class is learned"]


def test_it_does_not_begin_before_its_time_though_all_is_learned() -> None:
    phases = Phases(DaleConfig(phase_in=0.4, learned=0.4), 10)
    assert run(phases, [[0.9, 0.9]] * 6) == [4, 5]


def test_it_waits_where_nothing_was_shown_yet() -> None:
    phases = Phases(DaleConfig(phase_in=0.0, learned=0.4), 10)
    assert run(phases, [[0.9, 0.9], None, None]) == [1, 2]


def test_it_pauses_when_a_class_is_lost_and_goes_on_when_it_is_found_again() -> None:
    """Below half of the threshold it pauses; to go on takes the whole one again. Every second batch."""
    phases = Phases(DaleConfig(phase_in=0.1, every=2, learned=0.4), 20)
    learned, weak, lost = [0.9, 0.5], [0.9, 0.21], [0.9, 0.19]
    shown: list[list[float] | None] = [learned] * 4 + [None, weak, None, lost, lost, weak, weak, learned, None, learned]
    # batch 2 begins (2 · 0.1 · 20 = 2); 8 would be next but for the class lost at 7; found again at 11, taken from 12
    assert run(phases, shown) == [2, 4, 6, 12]
    assert [line.split(", ")[0] for line in phases.news] == [
        "batch 2: Algorithm 1 from here on",
        "batch 8: whole batches only",
        "batch 12: Algorithm 1 from here on",
    ]
    assert "has lost class 1 (probability 0.19 in its own voxels)" in phases.news[1]


def test_a_class_never_learned_is_not_waited_for_forever_where_another_is() -> None:
    """Half-way through Algorithm 1's part; background alone does not count in label maps, a region does."""
    config = DaleConfig(phase_in=0.2, phase_out=0.2, learned=0.4)  # of 20 batches 4 to 15: half-way is 10
    shown: list[list[float] | None] = [[0.9, 0.1, 0.8]] * 20
    assert run(Phases(config, 20), shown) == [10, 11, 12, 13, 14, 15]
    background_alone: list[list[float] | None] = [[0.9, 0.1]] * 20
    assert run(Phases(config, 20), background_alone) == []
    assert run(Phases(config, 20, background=False), background_alone) == [10, 11, 12, 13, 14, 15]


def test_it_says_what_it_waits_for() -> None:
    phases = Phases(DaleConfig(phase_in=0.2, learned=0.4), 10)
    assert phases.waiting_for() is None
    run(phases, [[0.9, 0.1], [0.9, 0.2]])
    assert phases.waiting_for() == "class 1 (probability 0.20 in its own voxels)"
    regions = Phases(DaleConfig(phase_in=0.2, learned=0.4), 10, background=False)
    run(regions, [[0.1, 0.9]])
    assert regions.waiting_for() == "region 0 (probability 0.10 in its own voxels)"


def test_as_printed_nothing_is_watched() -> None:
    assert not Phases(DaleConfig(), 3).watches


# --- the steps --------------------------------------------------------------------------------------------------------


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, nesterov=True)


def phased(network: nn.Module, batches: int, trust: FixedTrust | None = None, **settings: Any) -> PhasedStep:
    config = DaleConfig(patch_size=8, fuzzy_threshold=0.5, **settings)
    return PhasedStep(step_on(network, config, optimizer=sgd(network), label_trust=trust), batches)


def batch_of(seed: int) -> tuple[Tensor, list[Tensor]]:
    return small_batch(2, 32, seed)


def weights_of(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(network.parameters()).detach().clone()


def test_a_whole_batch_is_plain_training_with_nnunets_loss() -> None:
    ours = small_unet()
    theirs = copy.deepcopy(ours)
    step, optimizer = phased(ours, 10, phase_in=0.5, learned=0.4), sgd(theirs)
    dice = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
    loss = DC_and_CE_loss(dice, {}, weight_ce=1, weight_dice=1, dice_class=MemoryEfficientSoftDiceLoss)
    nnunets = DeepSupervisionWrapper(loss, SCALES)
    for seed in range(5):
        images, targets = batch_of(seed)
        record = step(images, targets)
        optimizer.zero_grad()
        expected = nnunets(theirs(images), targets)
        expected.backward()
        optimizer.step()
        assert_close(record.loss, expected.detach())
        assert_close(weights_of(ours), weights_of(theirs))
        assert isinstance(record, WholeBatch)
        assert record.case_mean is record.case_std is None


def test_the_trust_of_cases_weights_a_whole_batch() -> None:
    weight = torch.rand(2, 1, 32, 32)
    ours = small_unet()
    theirs = copy.deepcopy(ours)
    trust = FixedTrust(weight)
    step, optimizer = phased(ours, 10, trust, phase_in=0.5), sgd(theirs)
    images, targets = batch_of(0)
    record = step(images, targets, ["a", "b"])
    MaskedLoss(scale_weights=SCALES)(theirs(images), targets, None, weight).backward()
    optimizer.step()
    assert_close(weights_of(ours), weights_of(theirs))
    assert isinstance(record, WholeBatch)
    assert_close(record.case_mean, weight.mean())
    assert_close(record.case_std, weight.std(correction=0))
    assert trust.asked == [(images.shape, (2, 3, 32, 32), (2, 1, 32, 32), ["a", "b"])]


def test_every_other_batch_is_algorithm_1() -> None:
    """Update by update that of AlternatingStep on the batches it takes, and plain training on the others."""
    ours = small_unet()
    theirs = copy.deepcopy(ours)
    step = phased(ours, 8, phase_in=0.25, every=2)
    other = phased(theirs, 8).algorithm
    for batch in range(8):
        images, targets = batch_of(batch)
        record = step(images, targets)
        if batch in (2, 4, 6):
            expected = other(images, targets)
            assert isinstance(record, AlternatingRecord)
            assert_close(record.alignment, expected.alignment)
        else:
            assert isinstance(record, WholeBatch)
            other.step(other.loss(other.see(images)[0], targets))
        assert_close(weights_of(ours), weights_of(theirs), rtol=0, atol=0)
    assert step.batch == 8


def test_the_classes_it_waits_for_are_those_of_its_whole_batches() -> None:
    """The mean probability of each class in its own voxels at the batches before, by a mask per class."""
    network = small_unet()
    step = phased(network, 10, phase_in=0.9, learned=0.4)
    sums = torch.zeros(2, 3)
    for seed in range(3):
        images, targets = batch_of(seed)
        probabilities = network(images)[0].detach().softmax(1)
        for label in range(3):
            inside = (targets[0] == label)[:, 0]
            sums[0, label] = 0.9 * sums[0, label] + probabilities[:, label][inside].sum()
            sums[1, label] = 0.9 * sums[1, label] + inside.sum()
        step(images, targets)
    step.catch_up()
    assert step.phases.classes.probabilities == pytest.approx((sums[0] / sums[1]).tolist(), rel=1e-4)
    assert not any(math.isnan(each) for each in step.phases.classes.probabilities)


def test_a_training_that_loses_a_class_steps_back_to_whole_batches() -> None:
    """The head forgets class 2 for good: its logit is far below the others."""
    network = small_unet()
    step = phased(network, 40, every=2, learned=0.2)
    kinds = []
    for seed in range(36):
        if seed == 4:
            with torch.no_grad():
                network.decoder.seg_layers[-1].bias[2] = -100
        kinds.append(isinstance(step(*batch_of(seed)), AlternatingRecord))
    assert kinds[:4] == [False, False, True, False]
    assert not any(kinds[-4:])
    assert any("has lost class 2" in line for line in step.phases.news)
