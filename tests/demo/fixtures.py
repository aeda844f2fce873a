"""What a demo leaves, made up: for tests of its page."""

from __future__ import annotations

from typing import Any

CASES = [f"phantom_{index:03d}" for index in range(5)]
PHANTOM: dict[str, Any] = {"drawn_wide": ["phantom_002", "phantom_004"], "wide_mm": 5.6}
NUMBERS: dict[str, Any] = {
    "seed": 3,
    "device": "cpu",
    "scale": {"training_cases": 5, "validation_cases": 4, "epochs": 8, "batches_per_epoch": 30},
    "steps": [
        {"title": "make the phantom", "command": "", "seconds": 7.4},
        {"title": "train DALE", "command": 'nnUNetv2_train 998 -x "a <b>"', "seconds": 165.0},
    ],
    "facts": {"data": "10 + 4 cases"},
    "algorithm_batches": 60,
}


def distrust(**of_cases: list[float]) -> dict[str, list[float]]:
    """Of each case and label value, 0 but for the cases that are named."""
    return {case: of_cases.get(case, [0.0] * 5) for case in CASES}
