"""The convolutional decoder of 3D UX-Net: residual blocks on every skip, transposed convolutions between the levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_dale.dk_uxnet.encoder import Stride

_SLOPE = 0.01  # of the leaky ReLU, as in nnU-Net and MONAI


class ResidualBlock(nn.Module):
    """Two 3³ convolutions with instance norm, and a shortcut that is a 1³ convolution where the width changes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(out_channels, affine=True),
            nn.LeakyReLU(_SLOPE),
            nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(out_channels, affine=True),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, 1, bias=False), nn.InstanceNorm3d(out_channels, affine=True)
            )

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, *S) → (B, out_channels, *S)."""
        return functional.leaky_relu(self.convolutions(features) + self.shortcut(features), _SLOPE)


class UxnetDecoder(nn.Module):
    """From the encoder's features back to full resolution.

    Level 0 is the image; level i > 0 is the output of stage i. Level i has the width of stage i + 1, the deepest twice
    the width of its stage, as published.

    Args:
        widths, strides: of the encoder.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], strides: Sequence[Stride]) -> None:
        super().__init__()
        of_level = [*widths, 2 * widths[-1]]
        self.skips = nn.ModuleList(
            ResidualBlock(before, width) for before, width in zip([in_channels, *widths], of_level, strict=True)
        )
        self.ups = nn.ModuleList(
            nn.ConvTranspose3d(deeper, width, stride, stride, bias=False)
            for width, deeper, stride in zip(of_level[:-1], of_level[1:], strides, strict=True)
        )
        self.blocks = nn.ModuleList(ResidualBlock(2 * width, width) for width in widths)

    def forward(self, images: Tensor, stages: Sequence[Tensor]) -> list[Tensor]:
        """Return the features of every level but the deepest, full resolution first.

        Args:
            images: (B, C, *S).
            stages: what the encoder made of them.
        """
        skips = [skip(each) for skip, each in zip(self.skips, [images, *stages], strict=True)]
        features, found = skips[-1], []
        for up, block, skip in reversed(list(zip(self.ups, self.blocks, skips[:-1], strict=True))):
            features = block(torch.cat([up(features), skip], dim=1))
            found.append(features)
        return found[::-1]
