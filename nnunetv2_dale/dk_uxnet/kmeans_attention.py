"""Cross-attention as a step of k-means (kMaX-DeepLab, Yu et al., ECCV 2022, Eqs. 5–7).

A query is a cluster's centre. Each voxel goes to its best query, each query gets the sum of its voxels' values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_dale.dale.marginal_loss import exact
from nnunetv2_dale.dk_uxnet.encoder import ChannelNorm

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}  # by dimensions


def assignment_logits(features: Tensor, queries: Tensor) -> Tensor:
    """Return how well each voxel fits each query: ⟨query, feature⟩ / √D.

    Args:
        features: (B, D, *S).
        queries: (B, N, D).
    Returns:
        (B, N, *S).
    """
    return torch.einsum("bnd,bd...->bn...", queries, features) / math.sqrt(features.shape[1])


def sums_of_members(logits: Tensor, values: Tensor) -> Tensor:
    """Σ over the voxels that go to a query of their values; 0 for a query that no voxel goes to.

    A voxel goes to the query of its largest logit, the first among equals. No gradient reaches the logits. The sums are
    float32 (or float64), since sums over a volume exceed half precision.

    Args:
        logits: (B, N, *S).
        values: (B, D, *S).
    Returns:
        (B, N, D).
    """
    best = logits.flatten(2).argmax(dim=1)
    with torch.autocast(values.device.type, enabled=False):
        summed = exact(values.flatten(2))
        members = functional.one_hot(best, logits.shape[1]).to(summed.dtype)
        return torch.einsum("bvn,bdv->bnd", members, summed)


class KMeansLayer(nn.Module):
    """One k-means step on a decoder level, then self-attention between the queries and a feed-forward part.

    Args:
        pixel_channels: of the decoder level.
        query_channels: D; heads must divide it.
        dimensions: 2 or 3.
    """

    def __init__(
        self, pixel_channels: int, query_channels: int, heads: int, feed_forward_channels: int, dimensions: int = 3
    ) -> None:
        super().__init__()
        convolution = CONVOLUTION[dimensions]
        self.pixel_space = nn.Sequential(
            nn.GELU(), convolution(pixel_channels, query_channels, 1), ChannelNorm(query_channels), nn.GELU()
        )
        self.key = nn.Sequential(convolution(query_channels, query_channels, 1), ChannelNorm(query_channels))
        self.value = convolution(query_channels, query_channels, 1)
        self.query = nn.Sequential(nn.LayerNorm(query_channels), nn.Linear(query_channels, query_channels))
        # the norm takes out how many voxels a query has won
        self.update = nn.Sequential(nn.LayerNorm(query_channels), nn.Linear(query_channels, query_channels))
        self.attention_norm = nn.LayerNorm(query_channels)
        self.attention = nn.MultiheadAttention(query_channels, heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(query_channels),
            nn.Linear(query_channels, feed_forward_channels),
            nn.GELU(),
            nn.Linear(feed_forward_channels, query_channels),
        )

    def forward(self, pixels: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return the queries after the step, and the logits of the assignment.

        Args:
            pixels: (B, pixel_channels, *S).
            queries: (B, N, D).
        Returns:
            (B, N, D), and (B, N, *S): their loss is all that teaches the assignment, as argmax has no gradient.
        """
        space = self.pixel_space(pixels)
        logits = assignment_logits(self.key(space), self.query(queries))
        queries = queries + self.update(sums_of_members(logits, self.value(space)))
        normed = self.attention_norm(queries)
        queries = queries + self.attention(normed, normed, normed, need_weights=False)[0]
        return queries + self.feed_forward(queries), logits
