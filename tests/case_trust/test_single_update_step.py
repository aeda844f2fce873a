"""One update per batch: against plain training where it must be plain, against a loop written out where it is not."""

from __future__ import annotations

import copy

import pytest
import torch
from nnunetv2_dale.case_trust.single_update_step import SingleUpdateStep
from torch import Tensor, nn
from torch.testing import assert_close

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.fuzziness import fuzziness_map, patch_shape
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from tests.dale.networks import blob_batch, small_unet

CONFIG = DaleConfig(
    updates="whole_batch", confidence_source="likelihood", alignment_weight=0.0, patch_size=8, fuzzy_threshold=0.5
)
CASES = ["a", "b"]


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    return [blob_batch(seed=seed) for seed in range(count)]


def optimizer_of(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)


def step_on(network: nn.Module, config: DaleConfig) -> SingleUpdateStep:
    return SingleUpdateStep(network, network, optimizer_of(network), MaskedLoss(), num_classes=3, config=config)


def plain_dice_ce(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Weighted cross-entropy and per-sample Dice of an explicit one-hot label."""
    one_hot = torch.stack([labels[:, 0] == k for k in range(3)], dim=1).float()
    p = logits.softmax(1)
    cross_entropy = (-(one_hot * p.log()).sum(1, keepdim=True) * weight).mean()
    inter, pred, ref = ((x * weight).sum((2, 3))[:, 1:] for x in (p * one_hot, p, one_hot))
    return cross_entropy - ((2 * inter + 1e-5) / (pred + ref + 1e-5)).mean()


def trained_by_hand(network: nn.Module, scope: str, start: int, views: bool = False) -> nn.Module:
    optimizer = optimizer_of(network)
    for number, (images, labels) in enumerate(batches(4)):
        logits = network(images)
        m = fuzziness_map(images, labels, patch_shape(images.shape[2:], 8), 32).combined
        given = logits.detach().softmax(1).gather(1, labels.long())
        omega = torch.where(given < 0.5, given / 0.5, 1.0) if number >= start else torch.ones_like(given)
        if scope == "fuzzy":
            omega = torch.where(m >= 0.5, omega, 1.0)
        weight = omega
        if views:
            fuzzy, clear = torch.where(m > 0.5, 1.0, m), torch.where(m < 0.5, 1.0, 0.0)
            weight = clear if number % 2 == 0 else fuzzy * omega
        optimizer.zero_grad()
        plain_dice_ce(logits, labels, weight).backward()
        optimizer.step()
    return network


def assert_same_weights(ours: nn.Module, expected: nn.Module) -> None:
    for (name, weight), other in zip(ours.named_parameters(), expected.parameters(), strict=True):
        assert_close(weight, other, atol=2e-6, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("scope", ["everywhere", "fuzzy"])
def test_four_iterations_are_those_written_out(scope):
    ours = small_unet(deep_supervision=False)
    expected = trained_by_hand(copy.deepcopy(ours), scope, start=2)
    step = step_on(ours, CONFIG.updated({"confidence_scope": scope}))
    for number, batch in enumerate(batches(4)):
        step.trust_all = number < 2
        step(*batch)
    assert_same_weights(ours, expected)


def test_views_in_turns_are_those_written_out():
    ours = small_unet(deep_supervision=False)
    expected = trained_by_hand(copy.deepcopy(ours), "everywhere", start=0, views=True)
    step = step_on(ours, CONFIG.updated({"updates": "one_view", "view": "masked_loss"}))
    for batch in batches(4):
        step(*batch)
    assert_same_weights(ours, expected)


def test_without_confidence_it_is_plain_training():
    ours = small_unet(deep_supervision=False)
    expected = trained_by_hand(copy.deepcopy(ours), "everywhere", start=99)
    step = step_on(ours, CONFIG.updated({"confidence_source": "hypergradient", "confidence_steps": 0}))
    records = [step(*batch) for batch in batches(4)]
    assert_same_weights(ours, expected)
    assert [record.confidence_mean for record in records] == [1] * 4


@pytest.mark.parametrize("updates", ["whole_batch", "one_view"])
def test_the_network_runs_once_forward_and_once_backward(updates):
    network = small_unet()
    passes = []
    network.register_forward_hook(lambda *_: passes.append("forward"))
    network.decoder.seg_layers[-1].register_full_backward_hook(lambda *_: passes.append("backward"))
    step = step_on(network, CONFIG.updated({"updates": updates, "alignment_weight": 0.05, "view": "masked_loss"}))
    images, labels = blob_batch()
    targets = [labels, labels[:, :, ::2, ::2]]
    for _ in range(2):
        step(images, targets)
    assert passes == ["forward", "backward"] * 2


def test_alignment_pulls_at_the_fuzzy_features_of_the_same_forward():
    images, labels = blob_batch()
    settings = {"confidence_source": "hypergradient", "confidence_steps": 0, "alignment_weight": 0.05}
    config = CONFIG.updated({**settings, "alignment_min_voxels": 4, "covariance_noise": 0.0})
    record = step_on(small_unet(deep_supervision=False), config)(images, labels)
    assert record.alignment > 0


def test_displacement_asks_for_the_names_of_cases_and_remembers_them():
    network = small_unet(deep_supervision=False)
    step = step_on(network, CONFIG.updated({"confidence_source": "displacement"}))
    images, labels = blob_batch()
    with pytest.raises(ValueError, match="expects the name of each sample's case"):
        step(images, labels)
    step(images, labels, CASES)
    assert step.likelihood is not None
    assert set(step.likelihood.displacement.state()) == set(CASES)


def test_the_memory_also_grows_before_omega_acts():
    step = step_on(small_unet(deep_supervision=False), CONFIG.updated({"confidence_source": "displacement"}))
    step.trust_all = True
    record = step(*blob_batch(), CASES)
    assert record.confidence_mean == 1
    assert step.likelihood is not None
    assert set(step.likelihood.displacement.state()) == set(CASES)


@pytest.mark.parametrize("updates", ["whole_batch", "one_view"])
def test_a_meta_step_in_one_update_is_refused(updates):
    with pytest.raises(ValueError, match=f'updates "{updates}" has no meta step'):
        DaleConfig(updates=updates)


@pytest.mark.parametrize(("settings", "looked"), [({}, 2), ({"confidence_scope": "fuzzy"}, 12)])
def test_a_partition_for_the_log_alone_is_that_of_one_batch_in_ten(settings, looked, monkeypatch):
    step = step_on(small_unet(deep_supervision=False), CONFIG.updated(settings))
    seen = []
    compute = step._fuzziness
    monkeypatch.setattr(step, "_fuzziness", lambda *given: seen.append(given) or compute(*given))
    images, labels = blob_batch()
    fractions = [step(images, labels, CASES).fuzzy_fraction for _ in range(12)]
    assert len(seen) == looked
    assert len({float(each) for each in fractions}) == 1
    if looked == 2:
        step(images[:1], labels[:1], CASES[:1])  # another size is looked at anew
        assert len(seen) == 3
