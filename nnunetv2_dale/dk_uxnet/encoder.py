"""The encoder of 3D UX-Net (Lee et al., ICLR 2023): ConvNeXt blocks with large depthwise kernels.

Unlike the published one, it takes a stride per axis, for images with thick slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

KERNEL = 7  # voxels along each axis, of the stem and of the blocks
EXPANSION = 4  # of the channels inside a block
LAYER_SCALE = 1e-6  # at the start, as published

Stride = tuple[int, int, int]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel of (B, C, *S)."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


class UxBlock(nn.Module):
    """x + γ · w2(GELU(w1(norm(d(x))))) with d depthwise 7³ and w1, w2 the published depthwise scaling.

    As in the published code, w1 and w2 are 1³ convolutions that keep the channels apart (×4 and back). Channels meet
    between the stages and in the decoder.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv3d(channels, channels, KERNEL, padding=KERNEL // 2, groups=channels)
        self.norm = ChannelNorm(channels)
        self.widen = nn.Conv3d(channels, EXPANSION * channels, 1, groups=channels)
        self.narrow = nn.Conv3d(EXPANSION * channels, channels, 1, groups=channels)
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1, 1), LAYER_SCALE))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, *S) → the same shape."""
        inner: Tensor = self.narrow(functional.gelu(self.widen(self.norm(self.depthwise(features)))))
        return features + self.layer_scale * inner


class UxnetEncoder(nn.Module):
    """The stem and the stages.

    Args:
        widths: channels of each stage.
        blocks: of each stage.
        strides: of each stage against the one before, per axis; the first is the stem's.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], blocks: int, strides: Sequence[Stride]) -> None:
        super().__init__()
        stem = nn.Conv3d(in_channels, widths[0], KERNEL, stride=strides[0], padding=KERNEL // 2)
        entries = [nn.Sequential(stem, ChannelNorm(widths[0]))]
        for before, width, stride in zip(widths[:-1], widths[1:], strides[1:], strict=True):
            # a kernel as large as its stride: every voxel is read once
            entries.append(nn.Sequential(ChannelNorm(before), nn.Conv3d(before, width, stride, stride)))
        self.entries = nn.ModuleList(entries)
        self.stages = nn.ModuleList(nn.Sequential(*(UxBlock(width) for _ in range(blocks))) for width in widths)
        self.norms = nn.ModuleList(ChannelNorm(width) for width in widths)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the normalised features of every stage, finest first.

        Args:
            images: (B, C, *S), each axis a multiple of the product of its strides.
        """
        features, found = images, []
        for entry, stage, norm in zip(self.entries, self.stages, self.norms, strict=True):
            features = stage(entry(features))
            found.append(norm(features))
        return found
