"""The sums that a Dice is made of: over voxels, over the voxels of each label, over ranks."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum over the ranks of the default process group, differentiable on every rank."""
    return cast(Tensor, _SumOverRanks.apply(values))


def spatial_sum(values: Tensor) -> Tensor:
    """Sums of (B, K, *S) values over the voxels, (B, K)."""
    return values.flatten(2).sum(dim=2)


def sum_per_label(values: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sums of (B, 1, *S) values over the voxels of each label, (B, K), without a one-hot tensor."""
    sums = values.new_zeros(values.shape[0], classes)
    return sums.scatter_add(1, labels.flatten(1), values.flatten(1))


class _SumOverRanks(torch.autograd.Function):
    """All-reduce (sum) whose gradient is all-reduced too, as nnU-Net's AllGatherGrad followed by a sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # one gradient: there is one output
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total
