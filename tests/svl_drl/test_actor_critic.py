"""Returns against a slow loop, and the policy gradient against REINFORCE written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from nnunetv2_dale.svl_drl.actor_critic import (
    bounded_rewards,
    discounted_returns,
    policy_entropy,
    policy_loss,
    scaled_advantage,
    value_loss,
)


@pytest.mark.parametrize("discount", [0.0, 0.95, 1.0])
def test_returns_are_those_of_a_slow_loop(discount: float) -> None:
    steps, shape = 4, (2, 1, 3, 5)
    rewards = [torch.randn(shape), torch.randn(2, 1, 1, 1), torch.randn(shape), torch.randn(2, 1, 1, 1)]
    last = torch.randn(shape)
    found = discounted_returns(rewards, last, discount)
    for t in range(steps):
        expected = torch.zeros(shape)
        for later in range(t, steps):
            expected = expected + discount ** (later - t) * rewards[later]
        expected = expected + discount ** (steps - t) * last
        assert_close(found[t], expected)


def test_rewards_of_a_small_object_are_bounded_and_others_stay() -> None:
    """64³ voxels share the Dice of 27: the root of the mean square of two steps is 1 then."""
    shares = torch.zeros(1, 1, 64, 64, 64)
    shares[..., :3, :3, :3] = 64**3 / 27
    ignored = torch.full_like(shares, 1e6)
    valid = torch.ones_like(shares, dtype=torch.bool)
    valid[..., 60:] = False
    steps = [torch.where(valid, shares, ignored), torch.where(valid, -shares, ignored)]
    bounded = bounded_rewards(steps, valid)
    assert_close(torch.cat([step[valid] for step in bounded]).square().mean(), torch.tensor(1.0))
    assert_close(bounded[0] * steps[1], bounded[1] * steps[0])  # one factor for all
    assert value_loss(torch.zeros_like(shares), bounded[0], valid) < 1.01
    small = [0.3 * torch.rand(2, 1, 4, 4), torch.zeros(2, 1, 1, 1)]
    assert all(map(torch.equal, bounded_rewards(small), small))


def test_value_loss_by_hand_and_without_ignored_voxels() -> None:
    """((1 − 3)² + (2 − 2)²) / 2 = 2; the third voxel is ignored."""
    values = torch.tensor([1.0, 2.0, 100.0]).view(1, 1, 1, 3).requires_grad_()
    returns = torch.tensor([3.0, 2.0, 0.0]).view(1, 1, 1, 3)
    valid = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    loss = value_loss(values, returns, valid)
    assert_close(loss, torch.tensor(2.0))
    loss.backward()
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [-2.0, 0.0, 0.0]
    assert value_loss(values, returns, torch.zeros_like(valid)) == 0


def test_the_policy_gradient_is_reinforce_with_a_baseline_written_out() -> None:
    """∇ = −mean over voxels of A · ∇ log π(a), with ∇ log π(a) = (1[k = a] − π_k) · x for a linear policy."""
    torch.manual_seed(1)
    policy = nn.Conv2d(2, 3, 1).double()
    images = torch.randn(2, 2, 3, 4, dtype=torch.float64)
    actions = torch.randint(3, (2, 1, 3, 4))
    advantage = torch.randn(2, 1, 3, 4, dtype=torch.float64)
    weight, bias = torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    by_entropy = torch.zeros(3, 2, dtype=torch.float64)
    voxels = 2 * 3 * 4
    for sample in range(2):
        for row in range(3):
            for column in range(4):
                x = images[sample, :, row, column]
                scores = [math.exp((policy.weight[k, :, 0, 0] @ x + policy.bias[k]).item()) for k in range(3)]
                pi = [score / sum(scores) for score in scores]
                entropy = -sum(p * math.log(p) for p in pi)
                taken, worth = int(actions[sample, 0, row, column]), advantage[sample, 0, row, column]
                for k in range(3):
                    weight[k] += -worth * ((k == taken) - pi[k]) * x / voxels
                    bias[k] += -worth * ((k == taken) - pi[k]) / voxels
                    by_entropy[k] += -pi[k] * (math.log(pi[k]) + entropy) * x / voxels
    loss, _ = policy_loss(policy(images), actions, advantage.requires_grad_(), entropy_weight=0.0)
    loss.backward()
    assert advantage.grad is None  # stopgrad
    assert_close(policy.weight.grad[:, :, 0, 0], weight)
    assert_close(policy.bias.grad, bias)
    policy.zero_grad()
    loss, entropy_of = policy_loss(policy(images), actions, advantage, entropy_weight=0.5)
    loss.backward()
    assert_close(policy.weight.grad[:, :, 0, 0], weight - 0.5 * by_entropy)
    assert_close(entropy_of, policy_entropy(policy(images)))


def test_the_entropy_of_a_uniform_policy_is_log_3_and_of_a_sure_one_0() -> None:
    assert_close(policy_entropy(torch.zeros(1, 3, 4, 4)), torch.tensor(math.log(3)))
    sure = torch.zeros(1, 3, 4, 4)
    sure[:, 1] = 100
    assert_close(policy_entropy(sure), torch.tensor(0.0))


def test_an_advantage_is_scaled_by_its_root_mean_square_over_the_batch() -> None:
    """√((3² + 4² + 0 + 5²) / 4) = 3.5355…; the ignored 100 does not count."""
    advantage = torch.tensor([3.0, -4.0, 0.0, 5.0, 100.0]).view(1, 1, 1, 5)
    valid = torch.tensor([True, True, True, True, False]).view(1, 1, 1, 5)
    found = scaled_advantage(advantage, valid).flatten()
    assert_close(found[:4], torch.tensor([3.0, -4.0, 0.0, 5.0]) / 12.5**0.5)
    assert_close(scaled_advantage(1e-6 * advantage, valid).flatten()[:4], found[:4])
    assert not scaled_advantage(torch.zeros(1, 1, 2, 2)).any()
