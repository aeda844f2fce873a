"""The queries at full resolution, slab by slab: 128 maps of a volume at once would not fit into a graphics card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nnunetv2_dale.dale.marginal_loss import exact
from nnunetv2_dale.dk_uxnet.agreement import map_similarity
from nnunetv2_dale.dk_uxnet.kmeans_attention import assignment_logits
from nnunetv2_dale.dk_uxnet.query_groups import group_log_probabilities

SLAB_VOXELS = 2**17


class Queries(NamedTuple):
    """What the k-means decoder ends with."""

    features: Tensor  # (B, d, *S) of the voxels, at full resolution
    embeddings: Tensor  # (B, N, d), to be compared with the features
    class_logits: Tensor  # (B, N, K), the class of each query
    bias: Tensor  # (N,), of a query's fit to any voxel


class QueryMaps(NamedTuple):
    """What the voxels get from the queries. All of it float32 (or float64)."""

    logits: Tensor  # (B, K, *S): the queries' class logits, weighed by the voxel's shares
    groups: Tensor  # (B, G, *S): log of the groups' shares
    similarity: Tensor  # (B/2, N, N): cosine over voxels of a strong view's map and the weak view's maps
    weak_shares: Tensor  # (B/2, N): part of the crop that each query holds in the weak view


def query_maps(queries: Queries, sizes: Sequence[int], slab_voxels: int = SLAB_VOXELS) -> QueryMaps:
    """Return the maps of all voxels. Shares are computed anew in the backward pass instead of being kept.

    Args:
        queries: of the weak views, then of the strong views of the same crops. In `similarity` the weak ones have no
            gradient.
        sizes: of the query groups.
        slab_voxels: how many voxels of a sample are worked on at a time; of no influence on the result.
    """
    batch, _, *spatial = queries.features.shape
    voxels = queries.features.flatten(2)
    slabs = [
        checkpoint(
            _of_slab,
            slab,
            queries.embeddings,
            queries.class_logits,
            queries.bias,
            sizes,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for slab in torch.split(voxels, slab_voxels, dim=2)
    ]
    logits, groups, *sums = zip(*slabs, strict=True)
    products, strong_squares, weak_squares, held = (torch.stack(parts).sum(dim=0) for parts in sums)
    return QueryMaps(
        torch.cat(logits, dim=2).view(batch, -1, *spatial),
        torch.cat(groups, dim=2).view(batch, -1, *spatial),
        map_similarity(products, strong_squares, weak_squares),
        held / voxels.shape[2],
    )


def query_logits(queries: Queries, slab_voxels: int = SLAB_VOXELS) -> Tensor:
    """Return the class logits alone, (B, K, *S): what prediction needs of `query_maps`."""
    batch, _, *spatial = queries.features.shape
    with torch.autocast(queries.features.device.type, enabled=False):
        slabs = [
            _class_logits(_assignment(slab, queries.embeddings, queries.bias), queries.class_logits)
            for slab in torch.split(queries.features.flatten(2), slab_voxels, dim=2)
        ]
    return torch.cat(slabs, dim=2).view(batch, -1, *spatial)


def _of_slab(
    features: Tensor, embeddings: Tensor, class_logits: Tensor, bias: Tensor, sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    """Class logits and groups of the slab's voxels; Σ over them of products, of both squares and of the weak shares."""
    with torch.autocast(features.device.type, enabled=False):
        logits = _assignment(features, embeddings, bias)
        groups = group_log_probabilities(logits, sizes)
        weak, strong = logits.softmax(dim=1).chunk(2)
        weak = weak.detach()
        sums = (strong @ weak.mT, strong.square().sum(dim=2), weak.square().sum(dim=2), weak.sum(dim=2))
        return _class_logits(logits, class_logits), groups, *sums


def _assignment(features: Tensor, embeddings: Tensor, bias: Tensor) -> Tensor:
    return assignment_logits(exact(features), exact(embeddings)) + exact(bias)[:, None]


def _class_logits(logits: Tensor, class_logits: Tensor) -> Tensor:
    return torch.einsum("bnv,bnk->bkv", logits.softmax(dim=1), exact(class_logits))
