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

from nnunetv2_dale.dale.config import ADAPTED, DaleConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.trainer.training_log import numbers_of
from tests.dale.networks import SCALES, small_unet, step_on, two_resolutions

LOSSES = {
    "label map": MaskedLoss(batch_dice=True, scale_weights=SCALES),
    "ignore label": MaskedLoss(ignore_label=3, scale_weights=SCALES),
    "regions": MaskedLoss(regions=True, ignore_channel=True, scale_weights=SCALES),
}
SETTINGS: list[dict[str, Any]] = [
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
CONFIGS = {str(each): DaleConfig(**each) for each in SETTINGS} | {"adapted": ADAPTED}


@pytest.mark.parametrize("read", [lambda x: x.sum().item(), lambda x: bool(x.any()), lambda x: x[x > 0]])
def test_reading_back_is_an_error_here(read: Any) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        read(torch.zeros(4, device="meta"))


@pytest.mark.parametrize("labels", LOSSES)
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(
    "config", [*(DaleConfig(**each) for each in SETTINGS), ADAPTED], ids=[*map(str, SETTINGS), "adapted"]
)
def test_an_iteration_of_two_views(config: DaleConfig, dimensions: int, labels: str) -> None:
    network, regions = small_unet(dimensions).to("meta"), labels == "regions"
    size = [16] * dimensions
    images = torch.zeros(2, 1, *size, device="meta")
    target = torch.zeros(2, 4 if regions else 1, *size, dtype=torch.int16, device="meta")
    step = step_on(network, replace(config, patch_size=4), LOSSES[labels], num_classes=3 + regions, generator=None)
    for _ in range(2):
        record = step(images, two_resolutions(target), ["a", "b"])
    assert numbers_of(record).device.type == "meta"
