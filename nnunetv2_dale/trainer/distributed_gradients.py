"""Keeping the ranks of a distributed training equal where no DDP wrapper does it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over the ranks of the default process group.

    A parameter without gradient has none on any rank: all ranks run the same passes.
    """
    gradients = [weight.grad for weight in parameters if weight.grad is not None]
    if not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def start_equal(module: nn.Module) -> None:
    """Give every rank the weights and buffers of rank 0."""
    for value in module.state_dict().values():
        distributed.broadcast(value, src=0)
