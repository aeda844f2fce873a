"""Counting connected components on the device of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_EXACT_INTEGERS = 2**24  # of float32
_VOXELS_AT_ONCE = 2**24  # some 30 bytes each


def count_components(masks: Tensor) -> Tensor:
    """Label the connected components of each mask; voxels that touch at a corner are connected.

    Every voxel takes the largest voxel number in its neighbourhood, then the number its own number's voxel has, until
    nothing changes: a component ends with one number, held by one voxel of that number. The second rule doubles the
    reach of each round. A round reads one truth value back from the device.

    Args:
        masks: (B, K, *S) bool, 2 or 3 spatial axes. Classes are counted a few at a time where they are many.
    Returns:
        (B, K) float32; 0 for an empty mask.
    """
    voxels_per_class = masks[:, 0].numel()
    at_once = max(1, _VOXELS_AT_ONCE // max(1, voxels_per_class))
    return torch.cat([_counted(part) for part in torch.split(masks, at_once, dim=1)], dim=1)


def _counted(masks: Tensor) -> Tensor:
    batch, classes, *spatial = masks.shape
    pool = functional.max_pool2d if len(spatial) == 2 else functional.max_pool3d
    flat = masks.flatten(2)
    voxels = flat.shape[2]
    exact = torch.float32 if voxels < _EXACT_INTEGERS else torch.float64
    own = torch.arange(1, voxels + 1, device=masks.device)  # 0 is outside
    numbers = own * flat
    while True:
        grid = numbers.to(exact).view(batch, classes, *spatial)
        reached = pool(grid, 3, stride=1, padding=1).flatten(2).long() * flat
        jumped = torch.maximum(reached, reached.gather(2, (reached - 1).clamp_min(0)) * flat)
        if torch.equal(jumped, numbers):
            break
        numbers = jumped
    return ((numbers == own) & flat).sum(dim=2).float()
