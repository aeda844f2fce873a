"""No iteration reads a number back from the device: each runs on tensors that have no numbers.

PyTorch's "meta" device knows shapes and types alone: `.item()`, `bool(...)`, a boolean index or any other result whose
shape depends on values is an error there. What libraries wait for inside a call it does not show
(docs/evidence/performance.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import ADAPTED, DaleConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.trainer.training_log import numbers_of
from tests.dale.networks import small_unet

LOSSES = {
    "label map": MaskedLoss(batch_dice=True, scale_weights=(2 / 3, 1 / 3)),
    "ignore label": MaskedLoss(ignore_label=3, scale_weights=(2 / 3, 1 / 3)),
    "regions": MaskedLoss(regions=True, ignore_channel=True, scale_weights=(2 / 3, 1 / 3)),
}
MODES: list[dict[str, Any]] = [
    {},
    {"confidence_gradient": "reuse"},
    {"fuzzy_graph": "recompute"},
    {"fuzzy_graph": "shifted"},
    {"view": "masked_loss"},
    {"confidence_gradient": "head"},
    {"confidence_memory": 0.9, "alignment_memory": 0.9, "alignment_bound": 0.05, "alignment_scale": "relative"},
    {"intensity_bins": "near_labels"},
    {"confidence_steps": 0, "alignment_weight": 0.0},
]


def a_batch(dimensions: int, channels: int) -> tuple[Tensor, list[Tensor]]:
    size = [16] * dimensions
    target = torch.zeros(2, channels, *size, dtype=torch.int16, device="meta")
    images = torch.zeros(2, 1, *size, device="meta")
    return images, [target, target[(..., *[slice(None, None, 2)] * dimensions)]]


def run(dimensions: int, labels: str, config: DaleConfig) -> Tensor:
    network = small_unet(dimensions).to("meta")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.99, nesterov=True)
    step = AlternatingStep(network, network, optimizer, LOSSES[labels], 3 + (labels == "regions"), config)
    batch = a_batch(dimensions, 4 if labels == "regions" else 1)
    for _ in range(2):
        record = step(*batch, ["a", "b"])
    return numbers_of(record)


@pytest.mark.parametrize("read", [lambda x: x.sum().item(), lambda x: bool(x.any()), lambda x: x[x > 0]])
def test_reading_back_is_an_error_here(read: Any) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        read(torch.zeros(4, device="meta"))


@pytest.mark.parametrize("labels", LOSSES)
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("settings", MODES, ids=str)
def test_an_iteration_of_two_views(settings: dict[str, Any], dimensions: int, labels: str) -> None:
    assert run(dimensions, labels, DaleConfig(patch_size=4, **settings)).device.type == "meta"


@pytest.mark.parametrize("labels", LOSSES)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_an_iteration_of_the_default(dimensions: int, labels: str) -> None:
    assert run(dimensions, labels, replace(ADAPTED, patch_size=4)).device.type == "meta"
