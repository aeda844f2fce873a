"""Returns, and the two losses of advantage actor-critic, with one agent per voxel.

"Asynchronous" (A3C) has no meaning in one process: the batch is what the agents share (A2C).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_dale.dale.marginal_loss import exact


def bounded_rewards(rewards: Sequence[Tensor], valid: Tensor | None = None) -> list[Tensor]:
    """Return r_t / max(1, RMS) over the voxels of all steps that are not ignored.

    A voxel's share of a small object's Dice is N over the object's voxels. V learns its square, through the encoder
    that segments: without a bound it would drown L_seg.

    Args:
        rewards: each broadcastable to (B, 1, *S).
        valid: (B, 1, *S) bool; None is all.
    """
    scale = torch.stack([_mean(reward.square(), valid) for reward in rewards]).mean().sqrt().clamp_min(1)
    return [reward / scale for reward in rewards]


def discounted_returns(rewards: Sequence[Tensor], last_value: Tensor, discount: float) -> list[Tensor]:
    """Return R_t = r_t + γ R_{t+1}, with R_T = V(s_T).

    Args:
        rewards: r_0 … r_{T−1}, each broadcastable to (B, 1, *S).
        last_value: V(s_T), (B, 1, *S).
    Returns:
        R_0 … R_{T−1}, each (B, 1, *S).
    """
    returns: list[Tensor] = []
    following = last_value
    for reward in reversed(rewards):
        following = reward + discount * following
        returns.append(following)
    return returns[::-1]


def value_loss(values: Tensor, returns: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return mean (R − V)² over the voxels that are not ignored.

    Args:
        values: V, (B, 1, *S), with gradient.
        returns: R, (B, 1, *S), without.
        valid: (B, 1, *S) bool; None is all.
    """
    return _mean((returns.detach() - exact(values)).square(), valid)


def policy_entropy(logits: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return mean entropy of softmax(logits) over the voxels that are not ignored, in nats; (B, 3, *S) logits."""
    log_policy = exact(logits).log_softmax(dim=1)
    return _mean(-(log_policy.exp() * log_policy).sum(dim=1, keepdim=True), valid)


def scaled_advantage(advantage: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return A / RMS(A) over the voxels of a batch that are not ignored: a policy learns as fast from small rewards.

    Args:
        advantage: R − V, (B, 1, *S). Where all are 0 they stay 0.
        valid: (B, 1, *S) bool; None is all.
    """
    scale = _mean(advantage.square(), valid).sqrt()
    return advantage / scale.clamp_min(torch.finfo(scale.dtype).tiny)


def policy_loss(
    logits: Tensor, actions: Tensor, advantage: Tensor, entropy_weight: float, valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return mean(−log π(a) · stopgrad(A)) − β_H · entropy; and the entropy.

    Args:
        logits: of π, (B, 3, *S), with gradient.
        actions: (B, 1, *S) int64, those that were taken.
        advantage: of the actions, (B, 1, *S).
        valid: (B, 1, *S) bool; None is all.
    """
    log_policy = exact(logits).log_softmax(dim=1)
    taken = log_policy.gather(1, actions)
    entropy = policy_entropy(logits, valid)
    return _mean(-taken * advantage.detach(), valid) - entropy_weight * entropy, entropy


def _mean(values: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return values.mean()
    return torch.where(valid, values, 0.0).sum() / valid.sum().clamp_min(1)
