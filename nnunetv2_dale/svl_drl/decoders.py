"""The value and the policy decoder: narrow decoders on the skips of the network's own encoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_dale.svl_drl.intensity_actions import Action


class SkipDecoder(nn.Module):
    """A U-Net decoder: per level, upsample, join with the skip, one convolution, instance norm, LeakyReLU.

    The last layer starts at 0: at first a policy is uniform and a value is 0.

    Args:
        channels: of the encoder's skips, full resolution first.
        outputs: channels of the result.
        dimensions: 2 or 3 spatial axes.
        width: channels of each level, as a part of the encoder's.
    """

    def __init__(self, channels: Sequence[int], outputs: int, dimensions: int, width: float) -> None:
        super().__init__()
        convolution, norm = {2: (nn.Conv2d, nn.InstanceNorm2d), 3: (nn.Conv3d, nn.InstanceNorm3d)}[dimensions]
        widths = [max(1, round(width * count)) for count in channels]
        self.lateral = nn.ModuleList(convolution(full, own, 1) for full, own in zip(channels, widths, strict=True))
        self.merge = nn.ModuleList(
            nn.Sequential(convolution(below + own, own, 3, padding=1), norm(own, affine=True), nn.LeakyReLU())
            for own, below in pairwise(widths)
        )
        self.head = convolution(widths[0], outputs, 1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        """Return (B, outputs, *S) from the encoder's skips, full resolution first."""
        features = self.lateral[-1](skips[-1])
        for level in range(len(self.merge) - 1, -1, -1):
            features = functional.interpolate(features, size=skips[level].shape[2:], mode="nearest")
            features = self.merge[level](torch.cat([features, self.lateral[level](skips[level])], dim=1))
        result: Tensor = self.head(features)
        return result


class ActorCritic(nn.Module):
    """What stands beside the segmentation network: V(s) and the logits of π(a | s)."""

    def __init__(self, channels: Sequence[int], dimensions: int, width: float) -> None:
        super().__init__()
        self.value = SkipDecoder(channels, 1, dimensions, width)
        self.policy = SkipDecoder(channels, len(Action), dimensions, width)
