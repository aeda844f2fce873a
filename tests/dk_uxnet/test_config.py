"""The settings: ranges, and the ramp of the agreements."""

from __future__ import annotations

from typing import Any

import pytest

from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig


def test_each_stage_has_twice_the_channels_of_the_one_before() -> None:
    assert DkUxnetConfig().widths == (48, 96, 192, 384)
    assert DkUxnetConfig(width=6, stages=2).widths == (6, 12)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"stages": 1}, "stages must be in 2 to 10, got 1"),
        ({"query_channels": 12}, "must be a multiple of attention_heads"),
        ({"widht": 4}, "unknown setting 'widht' in \"dk_uxnet\". Valid are: query_count .2 to 4096."),
    ],
)
def test_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DkUxnetConfig().updated(settings)


@pytest.mark.parametrize(
    ("convolution", "query", "share"),
    [(0.8, 0.8, 0.5), (0.8, 0.73, 0.73 / 1.53), (0.8, 0.71, 0.0), (0.0, 0.0, 0.0), (float("nan"), float("nan"), 0.0)],
)
def test_the_query_head_counts_once_it_has_learned(convolution: float, query: float, share: float) -> None:
    assert DkUxnetConfig().query_share(convolution, query) == pytest.approx(share)
    assert DkUxnetConfig(predicted_by="convolution").query_share(convolution, query) == 0


@pytest.mark.parametrize(
    ("progress", "weight"), [(0.0, 0.1), (0.24, 0.1), (0.25, 0.5), (0.5, 1.0), (0.74, 1.0), (0.75, 2.0), (1.0, 2.0)]
)
def test_each_weight_of_the_ramp_has_an_equal_part_of_the_training(progress: float, weight: float) -> None:
    assert DkUxnetConfig().agreement_weight(progress) == weight
