"""Maps of all voxels: against a loop, whatever the slabs, with the gradient of maps that are kept."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nnunetv2_dale.dk_uxnet.query_maps import Queries, QueryMaps, query_logits, query_maps

SIZES = (1, 2, 2)


def queries() -> Queries:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 4, 2, 3, 2), (2, 5, 4), (2, 5, 3), (5,))
    return Queries(
        *(torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes)
    )


def kept(given: Queries) -> QueryMaps:
    """All shares at once, voxel by voxel."""
    batch, channels, *size = given.features.shape
    shares = torch.stack(
        [
            torch.stack(
                [
                    (
                        given.embeddings[b] @ given.features[b].flatten(1)[:, v] / math.sqrt(channels) + given.bias
                    ).softmax(0)
                    for v in range(math.prod(size))
                ],
                dim=1,
            )
            for b in range(batch)
        ]
    )  # (B, N, V)
    logits = (given.class_logits.transpose(1, 2) @ shares).view(batch, -1, *size)
    groups = torch.stack([shares[:, :1].sum(1), shares[:, 1:3].sum(1), shares[:, 3:].sum(1)], dim=1).log()
    weak, strong = shares[0].detach(), shares[1]
    similarity = torch.stack([torch.stack([torch.cosine_similarity(a, b, dim=0) for b in weak]) for a in strong])
    return QueryMaps(logits, groups.view(batch, -1, *size), similarity[None], weak.mean(dim=1)[None])


@pytest.mark.parametrize("slab_voxels", [1, 5, 12, 1000])
def test_as_voxel_by_voxel_whatever_the_slabs(slab_voxels: int) -> None:
    for found, expected in zip(query_maps(queries(), SIZES, slab_voxels), kept(queries()), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(query_logits(queries(), slab_voxels), kept(queries()).logits)


def test_the_gradient_is_that_of_maps_that_are_kept() -> None:
    def gradients(maps: QueryMaps, given: Queries) -> tuple[Tensor, ...]:
        weights = torch.linspace(-1, 1, maps.logits.numel(), dtype=torch.float64).view_as(maps.logits)
        total = (maps.logits * weights).sum() + (maps.groups * weights.flip(0)).sum() + maps.similarity[0, 1].sum()
        return torch.autograd.grad(total, given)

    first, second = queries(), queries()
    for found, expected in zip(
        gradients(query_maps(first, SIZES, 5), first), gradients(kept(second), second), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_exact_under_autocast() -> None:
    given = Queries(*(each.detach().to(torch.bfloat16) for each in queries()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = query_maps(given, SIZES)
    assert {each.dtype for each in maps} == {torch.float32}
    exact = query_maps(Queries(*(each.float() for each in given)), SIZES)
    for found, expected in zip(maps, exact, strict=True):
        torch.testing.assert_close(found, expected)
