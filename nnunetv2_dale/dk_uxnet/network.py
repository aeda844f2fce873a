"""The network: 3D UX-Net with a convolutional and a k-means decoder, for any strides that nnU-Net plans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig
from nnunetv2_dale.dk_uxnet.decoder import ResidualBlock, UxnetDecoder
from nnunetv2_dale.dk_uxnet.encoder import ChannelNorm, Stride, UxnetEncoder
from nnunetv2_dale.dk_uxnet.kmeans_attention import KMeansLayer
from nnunetv2_dale.dk_uxnet.query_groups import group_sizes
from nnunetv2_dale.dk_uxnet.query_maps import Queries, query_logits

QUERY_LEVELS = 2  # decoder levels, from the coarsest, that have k-means layers


class Outputs(NamedTuple):
    """All that the losses need of a forward pass."""

    convolution_logits: Tensor  # (B, K, *S)
    queries: Queries
    assignments: list[Tensor]  # (B, N, *S_l), the logits of each k-means layer, in its own resolution


class DkUxnet(nn.Module):
    """DK-UXNet for images of three dimensions.

    Args:
        in_channels: of the image.
        num_classes: background and the foreground classes.
        strides: of the levels against the one before, per axis, without the first level; from the plans. One stage
            is built for each stride, at most `config.stages`.
    Raises:
        ValueError: not three axes, fewer than two strides, or fewer queries than classes.
    """

    def __init__(
        self, in_channels: int, num_classes: int, strides: Sequence[Sequence[int]], config: DkUxnetConfig
    ) -> None:
        super().__init__()
        stages = min(len(strides), config.stages)
        if stages < QUERY_LEVELS or any(len(stride) != 3 for stride in strides):
            raise ValueError(f"expected at least {QUERY_LEVELS} strides of three axes, got {list(map(list, strides))}")
        widths = config.widths[:stages]
        per_axis: list[Stride] = [(z, y, x) for z, y, x in strides[:stages]]
        self.group_sizes = group_sizes(config.query_count, num_classes, config.background_share)
        self.multiple = tuple(math.prod(along) for along in zip(*per_axis, strict=True))
        self.encoder = UxnetEncoder(in_channels, widths, config.blocks, per_axis)
        self.decoder = UxnetDecoder(in_channels, widths, per_axis)
        self.segmentation = nn.Sequential(
            ResidualBlock(widths[0], widths[0]), nn.Conv3d(widths[0], num_classes, kernel_size=1)
        )
        self.first_queries = nn.Parameter(torch.randn(config.query_count, config.query_channels))
        self.query_layers = nn.ModuleList(
            KMeansLayer(width, config.query_channels, config.attention_heads, config.feed_forward_channels)
            for width in widths[: -QUERY_LEVELS - 1 : -1]
            for _ in range(config.query_layers)
        )
        # queries come down to the width of the full resolution instead of the voxels going up to theirs
        self.embedding = _head(config.query_channels, widths[0])
        self.query_class = _head(config.query_channels, num_classes)
        self.pixel_features = nn.Sequential(
            nn.Conv3d(widths[0], widths[0], 5, padding=2, groups=widths[0]),
            ChannelNorm(widths[0]),
            nn.GELU(),
            nn.Conv3d(widths[0], widths[0], 1),
            ChannelNorm(widths[0]),
        )

    def forward(self, images: Tensor, every_output: bool = False) -> Tensor | Outputs:
        """Logits of the prediction, the mean of what both decoders say: log ½(softmax(convolution) + softmax(query)).

        Args:
            images: (B, C, *S) of any size. Where an axis is no multiple of its strides, zeros are added at its end and
                cut off again.
            every_output: return what the losses need instead; then nothing may have to be added.
        Raises:
            ValueError: every output of a size that is no multiple of the strides.
        """
        missing = [-length % multiple for length, multiple in zip(images.shape[2:], self.multiple, strict=True)]
        if every_output:
            if any(missing):
                raise ValueError(
                    f"expected training crops in multiples of {list(self.multiple)} voxels, got "
                    f"{list(images.shape[2:])}; change the patch_size in the plans"
                )
            return self._outputs(images)
        padded = functional.pad(images, [end for added in reversed(missing) for end in (0, added)])
        outputs = self._outputs(padded)
        depth, height, width = images.shape[2:]
        convolution = outputs.convolution_logits[:, :, :depth, :height, :width].log_softmax(dim=1)
        query = query_logits(outputs.queries)[:, :, :depth, :height, :width].log_softmax(dim=1)
        return torch.logaddexp(convolution, query.to(convolution.dtype)) - math.log(2)

    def _outputs(self, images: Tensor) -> Outputs:
        levels = self.decoder(images, self.encoder(images))
        queries = self.first_queries.expand(images.shape[0], -1, -1)
        coarsest_first = levels[::-1]
        per_level = len(self.query_layers) // QUERY_LEVELS
        assignments = []
        for place, layer in enumerate(self.query_layers):
            queries, logits = layer(coarsest_first[place // per_level], queries)
            assignments.append(logits)
        return Outputs(
            self.segmentation(levels[0]),
            Queries(self.pixel_features(levels[0]), self.embedding(queries), self.query_class(queries)),
            assignments,
        )


def _head(in_channels: int, out_channels: int) -> nn.Module:
    """Return a small perceptron, applied to each query."""
    return nn.Sequential(
        nn.LayerNorm(in_channels), nn.Linear(in_channels, in_channels), nn.GELU(), nn.Linear(in_channels, out_channels)
    )
