"""The k-means decoder on the levels of another decoder: shapes in 2D and 3D, and where its groups start."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_dale.dk_uxnet.config import DkNetConfig
from nnunetv2_dale.dk_uxnet.query_decoder import QueryDecoder
from nnunetv2_dale.dk_uxnet.query_maps import query_maps

CONFIG = DkNetConfig(query_count=6, query_channels=8, query_layers=2, attention_heads=2, feed_forward_channels=8)
CHANNELS, CLASSES = (4, 6, 8), 3


def levels(dimensions: int) -> list[torch.Tensor]:
    return [torch.randn(2, width, *[8 // 2**depth] * dimensions) for depth, width in enumerate(CHANNELS)]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_layers_are_on_the_two_coarsest_levels(dimensions: int) -> None:
    queries, assignments = QueryDecoder(CHANNELS, CLASSES, dimensions, CONFIG)(levels(dimensions))
    assert [each.shape for each in assignments] == [(2, 6, *[side] * dimensions) for side in (2, 2, 4, 4)]
    assert queries.features.shape == (2, 4, *[8] * dimensions)
    assert queries.embeddings.shape == (2, 6, 4)
    assert queries.class_logits.shape == (2, 6, CLASSES)


def test_a_decoder_of_one_level_has_layers_on_it() -> None:
    _, assignments = QueryDecoder([4], CLASSES, 2, CONFIG)(levels(2)[:1])
    assert [each.shape for each in assignments] == [(2, 6, 8, 8)] * 2


def test_groups_start_near_the_classes_shares() -> None:
    """Not at the share of the queries, of which background has one in six here."""
    torch.manual_seed(0)
    decoder = QueryDecoder(CHANNELS, CLASSES, 2, CONFIG)
    decoder.start_groups_at((0.95, 0.03, 0.02))
    queries, _ = decoder(levels(2))
    background = query_maps(queries, decoder.group_sizes).groups.exp().mean((0, 2, 3))[0].item()
    assert background == pytest.approx(0.95, abs=0.03)
