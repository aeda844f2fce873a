"""The iteration: its gradients against the losses written out, its record, and a toy that the policy solves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from benchmarks.method_iterations import PASSES, STEPS
from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.svl_drl.actor_critic import discounted_returns
from nnunetv2_dale.svl_drl.config import RewardKind, SvlDrlConfig
from nnunetv2_dale.svl_drl.decoders import ActorCritic
from nnunetv2_dale.svl_drl.intensity_actions import Action, apply_actions, intensity_range, sample_actions
from nnunetv2_dale.svl_drl.reward import Reference, continuity_cost, dice_shares, soft_dice, total_variation_shares
from nnunetv2_dale.svl_drl.stages import Stage
from nnunetv2_dale.svl_drl.training_step import SvlDrlStep

CLASSES = 3


class TinyUNet(nn.Module):
    """An encoder of two levels and a decoder of one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1, stride=2)
        self.last = nn.Conv2d(10, CLASSES, 1)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        skips = self.encode(images)
        return skips, self.decode(skips)

    def encode(self, images: Tensor) -> list[Tensor]:
        skip = torch.tanh(self.first(images))
        return [skip, torch.tanh(self.second(skip))]

    def decode(self, skips: Sequence[Tensor]) -> Tensor:
        below = functional.interpolate(skips[1], size=skips[0].shape[2:])
        logits: Tensor = self.last(torch.cat([skips[0], below], dim=1))
        return logits


def made_step(config: SvlDrlConfig, loss: MaskedLoss) -> tuple[SvlDrlStep, TinyUNet]:
    network, beside = TinyUNet(), ActorCritic([4, 6], 2, 0.5)
    for decoder in (beside.value, beside.policy):
        nn.init.normal_(decoder.head.weight, std=0.3)
    generator = torch.Generator().manual_seed(5)
    step = SvlDrlStep(network, beside, loss, loss, CLASSES, config, generator=generator)
    return step, network


def batch_of(ignore: bool) -> tuple[Tensor, Tensor]:
    images, target = torch.randn(2, 1, 8, 10), torch.randint(CLASSES, (2, 1, 8, 10))
    if ignore:
        target[:, :, :3] = CLASSES
    return images, target


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize(
    ("stage", "reward", "edited_weight"),
    [
        (Stage.WARM_UP, "share", 0.0),
        (Stage.TRANSITION, "share", 0.0),
        (Stage.FULL, "share", 0.0),
        (Stage.TRANSITION, "edit", 0.0),
        (Stage.FULL, "edit", 0.5),
        (Stage.FULL, "volume", 1.0),
    ],
)
def test_gradients_are_those_of_the_losses_written_out(stage: Stage, reward: RewardKind, edited_weight, ignore) -> None:
    config = replace(
        SvlDrlConfig(),
        steps=2,
        reward=reward,
        edited_weight=edited_weight,
        discount=0.9,
        value_in_transition=0.3,
        value_weight=0.2,
        policy_weight=0.1,
    )
    loss = MaskedLoss(ignore_label=CLASSES if ignore else None)
    step, network = made_step(config, loss)
    images, target = batch_of(ignore)
    step.stage = stage
    record = step(images, target)
    weights = [*network.parameters(), *step.actor_critic.parameters()]
    found = [None if weight.grad is None else weight.grad.clone() for weight in weights]
    for weight in weights:
        weight.grad = None
    whole = written_out(config, loss, step.actor_critic, network, images, target, stage)
    whole["loss"].backward()
    for weight, gradient in zip(weights, found, strict=True):
        assert (weight.grad is None) == (gradient is None)
        if gradient is not None:
            assert_close(gradient, weight.grad, rtol=1e-4, atol=1e-6)
    assert_close(record.loss, whole["segmentation"])
    assert record.stage == stage.value
    if stage is Stage.WARM_UP:
        assert record.reward.isnan()
        return
    assert_close(record.reward, whole["reward"])
    assert_close(record.reward, record.reward_gain + record.reward_continuity)
    assert_close(record.reward, record.reward_first_step + record.reward_last_step)  # of two steps
    assert_close(record.reward_last_step, whole["last"])
    assert_close(record.value_loss, whole["value"])
    assert_close(record.keep_share + record.enhance_share + record.weaken_share, torch.tensor(1.0))


def written_out(
    config: SvlDrlConfig,
    loss: MaskedLoss,
    beside: ActorCritic,
    network: TinyUNet,
    images: Tensor,
    target: Tensor,
    stage: Stage,
) -> dict[str, Tensor]:
    """One graph over all states, the stages' formulas as printed."""
    if stage is Stage.WARM_UP:
        alone = loss(network.decode(network.encode(images)), target)
        return {"loss": alone, "segmentation": alone}
    valid, labels = loss.valid(target), loss.labels(target)
    reference = Reference.of(torch.cat([labels == 1, labels == 2], dim=1), valid)
    generator = torch.Generator().manual_seed(5)
    state, scale = images, intensity_range(images)
    losses, values, logs, entropies, predictions, states = [], [], [], [], [], [images]
    for _ in range(config.steps):
        skips = network.encode(state)
        logits = network.decode(skips)
        losses.append(loss(logits, target))
        predictions.append(logits.softmax(1)[:, 1:].detach())
        values.append(beside.value(skips))
        policy = beside.policy(skips).softmax(1)
        taken = sample_actions(policy.log().detach(), generator)
        amount = config.action_strength * torch.rand(taken.shape, generator=generator)
        logs.append(policy.gather(1, taken).log())
        entropies.append(-(policy * policy.log()).sum(1, keepdim=True))
        state = apply_actions(state, taken, amount, scale)
        states.append(state)
    skips = network.encode(state)
    last = network.decode(skips).softmax(1).detach()
    predictions.append(last[:, 1:])
    rewards = []
    for t in range(config.steps):
        f = predictions[t + 1]
        full = torch.cat([1 - f.sum(1, keepdim=True), f], dim=1)
        hard = functional.one_hot(full.argmax(1), CLASSES).movedim(-1, 1)[:, 1:].bool()
        if config.reward == "edit":
            rewards.append(what_edits_changed(config, network, states[t], states[t + 1], reference))
            continue
        if config.reward == "share":
            gain, cost = dice_shares(predictions[t], f, reference), total_variation_shares(f)
        else:
            gain = (soft_dice(f, reference) - soft_dice(predictions[t], reference)).view(-1, 1, 1, 1)
            cost = continuity_cost(f, hard, reference).view(-1, 1, 1, 1)
        rewards.append(gain - config.continuity_weight * cost)
    counted = torch.ones_like(target, dtype=torch.bool) if valid is None else valid
    size = torch.stack([each.expand(target.shape)[counted] for each in rewards]).square().mean().sqrt()
    bounded = [each / max(1.0, float(size)) for each in rewards]
    returns = discounted_returns(bounded, beside.value(skips).detach(), config.discount)

    def mean(each: Tensor) -> Tensor:
        return each[counted].mean()

    counted_losses = [losses[0], *(config.edited_weight * each for each in losses[1:])]
    segmentation = torch.stack(counted_losses).sum() / (1 + config.edited_weight * (config.steps - 1))
    value = torch.stack([mean((r - v) ** 2) for r, v in zip(returns, values, strict=True)]).mean()
    policy_parts = [
        mean(-log * (r - v).detach() / mean((r - v) ** 2).sqrt().detach()) - config.entropy_weight * mean(entropy)
        for log, r, v, entropy in zip(logs, returns, values, entropies, strict=True)
    ]
    if stage is Stage.TRANSITION:
        total = (1 - config.value_in_transition) * segmentation + config.value_in_transition * value
    else:
        alpha, beta = config.value_weight, config.policy_weight
        total = (1 - alpha - beta) * segmentation + alpha * value + beta * torch.stack(policy_parts).mean()
    return {
        "loss": total,
        "segmentation": segmentation,
        "reward": torch.stack([each.mean() for each in rewards]).sum(),
        "last": rewards[-1].mean(),
        "value": value,
    }


def what_edits_changed(
    config: SvlDrlConfig, network: TinyUNet, before: Tensor, after: Tensor, reference: Reference
) -> Tensor:
    """N times the edit of each voxel, times the mean of its derivatives of Dice − w · TV before and after."""

    def worth(state: Tensor) -> Tensor:
        f = network.decode(network.encode(state)).softmax(1)[:, 1:]
        rough = sum(f.diff(dim=axis).abs().mean(dim=(1, 2, 3)) for axis in (2, 3)) / 2
        return (soft_dice(f, reference) - config.continuity_weight * rough).sum()

    slopes = [torch.func.grad(worth)(state) for state in (before, after)]
    return (before.shape[2] * before.shape[3] * (after - before) * (slopes[0] + slopes[1]) / 2).detach()


def test_regions_and_deep_supervision() -> None:
    """Finite gradients everywhere, on targets of two resolutions with an ignore channel."""
    loss = MaskedLoss(regions=True, ignore_channel=True, scale_weights=(0.7, 0.3))
    step, network = made_step(replace(SvlDrlConfig(), steps=2), loss)

    def at_two_resolutions(images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        skips, logits = network(images)
        return skips, [logits, functional.avg_pool2d(logits, 2)]

    step.network = at_two_resolutions
    target = (torch.rand(2, CLASSES + 1, 8, 10) > 0.6).float()
    step.stage = Stage.FULL
    record = step(torch.randn(2, 1, 8, 10), [target, target[..., ::2, ::2]])
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    assert record.policy_entropy > 0


def test_nothing_of_an_episode_changes_the_batch() -> None:
    step, _ = made_step(SvlDrlConfig(), MaskedLoss())
    images, target = batch_of(ignore=False)
    kept = images.clone(), target.clone()
    step.stage = Stage.FULL
    step(images, target)
    assert torch.equal(images, kept[0])
    assert torch.equal(target, kept[1])


def test_uniform_actions_are_a_third_each_and_teach_the_policy_nothing() -> None:
    step, network = made_step(replace(SvlDrlConfig(), actions="uniform"), MaskedLoss())
    images, target = batch_of(ignore=False)
    step.stage = Stage.FULL
    records = [step(images, target) for _ in range(20)]
    for name in ("keep_share", "enhance_share", "weaken_share"):
        mean = torch.stack([getattr(record, name) for record in records]).mean()
        assert_close(mean, torch.tensor(1 / 3), atol=0.02, rtol=0)  # of 9,600 draws
    assert_close(records[0].policy_entropy, torch.tensor(3.0).log())
    assert all(weight.grad is None for weight in step.actor_critic.policy.parameters())
    assert all(weight.grad is not None for weight in [*network.parameters(), *step.actor_critic.value.parameters()])


@pytest.mark.parametrize("reward", ["share", "edit"])
@pytest.mark.parametrize("steps", [1, STEPS, 5])
def test_an_iteration_costs_the_passes_that_are_promised(steps: int, reward: RewardKind) -> None:
    """A backward counts as two forwards, one to the image alone as one; plain nnU-Net's three count as one."""
    step, network = made_step(replace(SvlDrlConfig(), steps=steps, reward=reward), MaskedLoss())
    costs: list[int] = []

    def counted(images: Tensor) -> tuple[list[Tensor], Tensor]:
        costs.append(2 if images.requires_grad else 1 + 2 * torch.is_grad_enabled())  # back to the image, the weights
        return network(images)

    step.network = counted
    step.stage = Stage.FULL
    step(*batch_of(ignore=False))
    passes = sum(costs) / 3
    assert passes <= (steps + 1) * 1.5
    if steps == STEPS == SvlDrlConfig().steps and reward == SvlDrlConfig().reward:
        assert passes == PASSES["svl_drl"]


class Everywhere(nn.Module):
    """A policy or value that is the same at every voxel."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(outputs))

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        batch, _, *spatial = skips[0].shape
        return self.score.view(1, -1, *(1,) * len(spatial)).expand(batch, -1, *spatial)


@pytest.mark.parametrize("reward", ["edit", "share", "volume", "voxel"])
@pytest.mark.parametrize("right", [Action.ENHANCE, Action.WEAKEN])
def test_the_policy_learns_the_right_action(reward: RewardKind, right: Action) -> None:
    """A fixed network finds foreground where it is bright (or dark), and everything is labelled foreground."""
    torch.manual_seed(0)
    beside: Any = nn.Module()
    beside.value, beside.policy = Everywhere(1), Everywhere(3)
    sign = 1 if right is Action.ENHANCE else -1
    step = SvlDrlStep(
        network=lambda images: ([images], torch.cat([sign * (0.5 - 4 * images), sign * (4 * images - 0.5)], dim=1)),
        actor_critic=beside,
        segmentation_loss=lambda outputs, targets: torch.zeros((), requires_grad=True),
        labels=MaskedLoss(),
        classes=2,
        config=replace(SvlDrlConfig(), steps=2, reward=reward, continuity_weight=0.0, entropy_weight=0.0),
        generator=torch.Generator().manual_seed(0),
    )
    step.stage = Stage.FULL
    optimizer = torch.optim.Adam(beside.parameters(), lr=0.1)
    images, target = torch.rand(4, 1, 3, 3), torch.ones(4, 1, 3, 3, dtype=torch.long)
    for _ in range(150):
        optimizer.zero_grad()
        step(images, target)
        optimizer.step()
    probability = beside.policy.score.softmax(0)
    assert probability[right] > 0.9, probability


def test_a_class_that_is_not_annotated_has_no_part_in_the_reward() -> None:
    """Its probability counts as background's, so that a voxel that gets more of it has gained nothing."""
    step, network = made_step(SvlDrlConfig(), MaskedLoss())
    images, target = batch_of(ignore=False)
    weights = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    known = KnownTargets.of([target], None, weights, regions=False)
    outputs = network(images)[1]
    foreground = step._foreground(outputs, weights)
    assert_close(foreground[0, 0], outputs.softmax(1)[0, 1])
    assert foreground[0, 1].abs().max() == 0
    assert_close(foreground[1], outputs.softmax(1)[1, 1:])
    reference = step._reference(known[0])
    assert not reference.foreground[0, 1].any()
    step.stage = Stage.FULL
    assert torch.isfinite(step(images, known).loss)
