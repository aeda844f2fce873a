"""The augmentation of the paper's setting: flips and scaling, each image its own, the same for image and label."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SCALES = (0.75, 1.25)


def augmented(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flip each axis of half of the images (B, C, H, W) and scale every image about its centre by a factor of `SCALES`.

    Images are sampled bilinearly, labels (B, 1, H, W) take the nearest.
    """
    batch = images.shape[0]
    flips = torch.randint(0, 2, (batch, 2), generator=generator) * 2.0 - 1
    scales = torch.empty(batch, 1).uniform_(*SCALES, generator=generator)
    matrices = torch.zeros(batch, 2, 3)
    matrices[:, (0, 1), (0, 1)] = flips / scales  # the grid says where a pixel comes from
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, "bilinear", "reflection", align_corners=False)
    label = functional.grid_sample(labels.float(), grid, "nearest", "reflection", align_corners=False)
    return moved, label.long()
