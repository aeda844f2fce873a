"""The settings: ranges, lists, and the ramp of the agreements."""

from __future__ import annotations

from typing import Any

import pytest

from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig


def test_lists_of_a_plans_file_become_tuples() -> None:
    config = DkUxnetConfig(widths=[8, 16], depths=[1, 1], agreement_ramp=[1])  # type: ignore[arg-type]
    assert config.widths == (8, 16)
    assert config.agreement_ramp == (1.0,)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"widths": 48}, "widths must be a list of numbers, each 1 to 4096, got 48"),
        ({"widths": []}, "widths must be a list of numbers"),
        ({"widths": [48, 96]}, "lists of the same length of at least 2"),
        ({"widths": [48], "depths": [2]}, "at least 2"),
        ({"depths": [2, 2, 2, 1.5]}, "depths must be a whole number, got 1.5"),
        ({"query_count": 1}, "query_count must be 2 to 4096, got 1"),
        ({"query_count": True}, "query_count must be a whole number, got True"),
        ({"query_channels": 12}, "must be a multiple of attention_heads"),
        ({"labelled_share": 1.0}, "labelled_share must be 0.01 to 0.99, got 1.0"),
        ({"group_weight": float("nan")}, "group_weight must be a number, got nan"),
        ({"agreement_ramp": [0.1, -1.0]}, "agreement_ramp must be a list of numbers, each 0 to 1000, got -1.0"),
    ],
)
def test_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DkUxnetConfig(**settings)


@pytest.mark.parametrize(
    ("progress", "weight"), [(0.0, 0.1), (0.24, 0.1), (0.25, 0.5), (0.5, 1.0), (0.74, 1.0), (0.75, 2.0), (1.0, 2.0)]
)
def test_each_weight_of_the_ramp_has_an_equal_part_of_the_training(progress: float, weight: float) -> None:
    assert DkUxnetConfig().agreement_weight(progress) == weight
