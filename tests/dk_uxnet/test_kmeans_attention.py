"""The k-means step: against a loop over voxels, by hand, and where it has a gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn, tensor

from nnunetv2_dale.dk_uxnet.kmeans_attention import KMeansLayer, assignment_logits, sums_of_members


def sums_by_loop(logits: Tensor, values: Tensor) -> Tensor:
    logits = logits.detach()
    batch, queries, *size = logits.shape
    sums = torch.zeros(batch, queries, values.shape[1], dtype=values.dtype)
    for sample in range(batch):
        for place in torch.cartesian_prod(*(torch.arange(length) for length in size)).tolist():
            scores = [float(logits[(sample, query, *place)]) for query in range(queries)]
            winner = scores.index(max(scores))
            sums[sample, winner] += values[(sample, slice(None), *place)]
    return sums


@pytest.mark.parametrize("size", [(2, 3, 4), (1, 1, 1), (5, 1, 2)])
def test_members_are_summed_as_by_a_loop_over_voxels(size: tuple[int, int, int]) -> None:
    logits, values = torch.randn(2, 4, *size, dtype=torch.float64), torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(sums_of_members(logits, values), sums_by_loop(logits, values))


def test_every_voxel_is_counted_once() -> None:
    logits = torch.randn(2, 5, 3, 4, 6)
    counted = sums_of_members(logits, torch.ones(2, 1, 3, 4, 6))
    assert counted.sum(dim=1).flatten().tolist() == [72, 72]


def test_the_first_of_equal_queries_wins_and_the_others_get_nothing() -> None:
    sums = sums_of_members(torch.zeros(1, 3, 1, 1, 2), tensor([[[[[2.0, 5.0]]]]]))
    assert sums.tolist() == [[[7.0], [0.0], [0.0]]]


def test_sums_of_half_precision_do_not_overflow() -> None:
    values = torch.full((1, 1, 10, 10, 10), 100.0, dtype=torch.float16)  # 100,000, above the largest half, 65,504
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = sums_of_members(torch.zeros(1, 2, 10, 10, 10), values)
    assert sums.dtype == torch.float32
    assert sums[0, 0, 0] == 100_000


def test_values_have_a_gradient_and_the_assignment_has_none() -> None:
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    values = torch.randn(1, 2, 2, 2, 2, requires_grad=True)
    (sums_of_members(logits, values) * tensor([1.0, 2.0, 3.0])[:, None]).sum().backward()
    assert logits.grad is None
    assert values.grad is not None
    torch.testing.assert_close(values.grad[:, 0], logits.argmax(dim=1) + 1.0)  # the weight of the query it goes to


def test_assignment_by_hand() -> None:
    features = tensor([3.0, 4.0, 0.0, 0.0]).view(1, 4, 1, 1, 1)
    queries = tensor([[[1.0, 0.0, 0.0, 9.0], [0.5, 1.0, 9.0, 0.0]]])
    torch.testing.assert_close(assignment_logits(features, queries).flatten(), tensor([3.0, 5.5]) / math.sqrt(4))


def test_a_layer_adds_what_its_members_bring() -> None:
    """With self-attention and feed-forward silenced: query + W · norm(sum of its voxels' values)."""
    layer = KMeansLayer(3, 8, heads=2, feed_forward_channels=4)
    for silenced in (layer.attention.out_proj, layer.feed_forward[-1]):
        nn.init.zeros_(silenced.weight)
        nn.init.zeros_(silenced.bias)
    pixels, queries = torch.randn(2, 3, 2, 3, 2), torch.randn(2, 5, 8)
    updated, logits = layer(pixels, queries)
    sums = sums_by_loop(logits, layer.value(layer.pixel_space(pixels)))
    torch.testing.assert_close(updated, queries + layer.update(sums))


def test_the_loss_of_the_logits_teaches_the_assignment() -> None:
    layer = KMeansLayer(3, 8, heads=2, feed_forward_channels=4)
    _, logits = layer(torch.randn(1, 3, 2, 2, 2), torch.randn(1, 5, 8))
    logits.log_softmax(dim=1)[:, 0].sum().backward()
    for part in (layer.key, layer.query, layer.pixel_space):
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in part.parameters())
