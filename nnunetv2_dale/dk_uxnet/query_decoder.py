"""The k-means decoder on the levels of any convolutional decoder, in two or three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnunetv2_dale.dk_uxnet.config import DkNetConfig
from nnunetv2_dale.dk_uxnet.encoder import ChannelNorm
from nnunetv2_dale.dk_uxnet.kmeans_attention import CONVOLUTION, KMeansLayer
from nnunetv2_dale.dk_uxnet.query_groups import group_sizes, starting_bias
from nnunetv2_dale.dk_uxnet.query_maps import Queries

QUERY_LEVELS = 2  # decoder levels, from the coarsest, that have k-means layers


class QueryDecoder(nn.Module):
    """Queries that take in the voxels of the coarsest levels, and maps of them at full resolution.

    Args:
        channels: of the decoder's levels, full resolution first.
        num_classes: background and the foreground classes.
        dimensions: 2 or 3.
    Raises:
        ValueError: fewer queries than classes.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, dimensions: int, config: DkNetConfig) -> None:
        super().__init__()
        self.group_sizes = group_sizes(config.query_count, num_classes, config.background_share)
        self.first_queries = nn.Parameter(torch.randn(config.query_count, config.query_channels))
        self.layers_per_level = config.query_layers
        self.query_layers = nn.ModuleList(
            KMeansLayer(width, config.query_channels, config.attention_heads, config.feed_forward_channels, dimensions)
            for width in channels[: -QUERY_LEVELS - 1 : -1]
            for _ in range(config.query_layers)
        )
        # queries come down to the width of the full resolution instead of the voxels going up to theirs
        width = channels[0]
        self.embedding = _head(config.query_channels, width)
        self.query_class = _head(config.query_channels, num_classes)
        self.bias = nn.Parameter(torch.zeros(config.query_count))  # -> start_groups_at
        convolution = CONVOLUTION[dimensions]
        self.pixel_features = nn.Sequential(
            convolution(width, width, 5, padding=2, groups=width),
            ChannelNorm(width),
            nn.GELU(),
            convolution(width, width, 1),
            ChannelNorm(width),
        )

    @torch.no_grad()
    def start_groups_at(self, shares: Sequence[float]) -> None:
        """Let each group begin with its class's part of the voxels, whatever its number of queries.

        Args:
            shares: of the classes, background first.
        """
        self.bias.copy_(starting_bias(shares, self.group_sizes))

    def forward(self, levels: Sequence[Tensor]) -> tuple[Queries, list[Tensor]]:
        """Return the queries, and the logits of each k-means layer's assignment, (B, N, *S_l).

        Args:
            levels: (B, channels, *S_l) of each level, full resolution first.
        """
        queries = self.first_queries.expand(levels[0].shape[0], -1, -1)
        coarsest_first = levels[::-1]
        assignments = []
        for place, layer in enumerate(self.query_layers):
            queries, logits = layer(coarsest_first[place // self.layers_per_level], queries)
            assignments.append(logits)
        features = self.pixel_features(levels[0])
        return Queries(features, self.embedding(queries), self.query_class(queries), self.bias), assignments


def _head(in_channels: int, out_channels: int) -> nn.Module:
    """Return a small perceptron, applied to each query."""
    return nn.Sequential(
        nn.LayerNorm(in_channels), nn.Linear(in_channels, in_channels), nn.GELU(), nn.Linear(in_channels, out_channels)
    )
