"""Squares drawn as the network draws them, or wider."""

from __future__ import annotations

import torch
from torch import Tensor

CASES = [f"case {number}" for number in range(5)]


def squares(*wider: int) -> Tensor:
    """Label maps (B, 1, 24, 24) of squares of 8, so many voxels wider on each side."""
    labels = torch.zeros(len(wider), 1, 24, 24, dtype=torch.int16)
    for label, each in zip(labels, wider, strict=True):
        label[:, 8 - each : 16 + each, 8 - each : 16 + each] = 1
    return labels


def logits_of_squares(inside: float = 0.9) -> Tensor:
    """Of a network that gives the square of 8 and what is around it the probability `inside` of being right."""
    foreground = torch.where(squares(0, 0, 0, 0, 0) == 1, inside, 1 - inside)
    return torch.cat([1 - foreground, foreground], dim=1).log()
