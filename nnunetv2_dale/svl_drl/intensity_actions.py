"""What a voxel can do to its own intensity: keep it, enhance it, or weaken it. The label is never touched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

LOWEST_PART, HIGHEST_PART = 0.005, 0.995  # percentiles that become 0 and 1


class Action(IntEnum):
    """The channels of the policy."""

    KEEP = 0
    ENHANCE = 1
    WEAKEN = 2


@dataclass(frozen=True)
class IntensityRange:
    """What is 0 and what is 1 on the scale of the actions; each (B, C), in the image's own intensities."""

    low: Tensor
    high: Tensor


def intensity_range(images: Tensor) -> IntensityRange:
    """Return the 0.5 and 99.5 percentiles of each image and channel (nearest rank).

    Args:
        images: (B, C, *S), finite. A constant channel has an empty range: actions leave it as it is.
    """
    values = images.detach().float().flatten(2)
    voxels = values.shape[2]
    ranks = (1 + round(part * (voxels - 1)) for part in (LOWEST_PART, HIGHEST_PART))
    low, high = (values.kthvalue(rank, dim=2).values for rank in ranks)
    return IntensityRange(low, high)


def sample_actions(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw one action per voxel from softmax(logits).

    Args:
        logits: (B, 3, *S).
    Returns:
        (B, 1, *S) int64, values of `Action`.
    """
    # argmax of logits plus Gumbel noise is a draw from the softmax; -log of a uniform number is exponential
    exponential = torch.empty_like(logits, dtype=torch.float32).exponential_(generator=generator)
    return (logits.float() - exponential.log()).argmax(dim=1, keepdim=True)


def apply_actions(
    images: Tensor, actions: Tensor, amount: Tensor, scale: IntensityRange, image_channels: int | None = None
) -> Tensor:
    """Apply an action to every voxel.

    On intensities I scaled to [0, 1]: keep I; enhance clip(I · (1 + a), 0, 1); weaken clip(I · (1 − a), 0, 1). What
    lies outside stays: clipped, it would change by the same whatever the action.

    Args:
        images: (B, C, *S).
        actions: (B, 1, *S), values of `Action`; all channels of a voxel act alike.
        amount: a, (B, 1, *S), from 0 to `action_strength`.
        scale: of the untouched images, the same in every step.
        image_channels: leading channels that are image; what follows (a cascade's segmentation) stays. None is all.
    Returns:
        (B, C, *S), a new tensor; bit by bit the given value wherever the action is keep, and outside of the scale.
    """
    own = images[:, :image_channels]
    dimensions = (1,) * (images.ndim - 2)
    low, high = (each[:, : own.shape[1]].reshape(*own.shape[:2], *dimensions) for each in (scale.low, scale.high))
    width = high - low
    relative = (own.float() - low) / torch.where(width > 0, width, 1.0)
    factor = 1 + torch.where(actions == Action.ENHANCE, amount, -amount)
    changed = (low + (relative * factor).clamp(0, 1) * width).to(images.dtype)
    inside = (own >= low) & (own <= high) & (width > 0)
    acted = torch.where((actions != Action.KEEP) & inside, changed, own)
    return torch.cat([acted, images[:, own.shape[1] :]], dim=1)
