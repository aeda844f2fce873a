"""The decoders beside the network: shapes, size, and how they start."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nnunetv2_dale.svl_drl.decoders import ActorCritic

CHANNELS = [32, 64, 128, 256]


def skips_of(shape: tuple[int, ...], batch: int = 2) -> list[Tensor]:
    return [
        torch.randn(batch, channels, *(-(-size // 2**level) for size in shape))
        for level, channels in enumerate(CHANNELS)
    ]


@pytest.mark.parametrize("shape", [(24, 20), (8, 24, 20)])
def test_they_give_a_number_and_three_scores_per_voxel(shape: tuple[int, ...]) -> None:
    """At first a value of 0 and a uniform policy; every weight but those behind the last layer has a gradient."""
    beside = ActorCritic(CHANNELS, len(shape), width=0.25)
    skips = skips_of(shape)
    values, logits = beside.value(skips), beside.policy(skips)
    assert values.shape == (2, 1, *shape)
    assert logits.shape == (2, 3, *shape)
    assert not values.any()
    assert not logits.any()
    for decoder in (beside.value, beside.policy):
        torch.nn.init.normal_(decoder.head.weight)
    (beside.value(skips).sum() + beside.policy(skips).square().sum()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in beside.parameters())


def test_the_skips_have_a_say_at_every_level() -> None:
    beside = ActorCritic(CHANNELS, 2, width=0.25)
    torch.nn.init.normal_(beside.value.head.weight)
    skips = skips_of((16, 16))
    before = beside.value(skips)
    for level in range(len(CHANNELS)):
        changed = [skip + (level == other) * torch.randn_like(skip) for other, skip in enumerate(skips)]
        assert not torch.allclose(beside.value(changed), before)
