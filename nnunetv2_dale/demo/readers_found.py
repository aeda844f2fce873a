"""Were the phantom's two readers found? What DALE down-weights, against what the phantom knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnunetv2_dale.demo.anatomy import FOREGROUND


@dataclass(frozen=True)
class Found:
    """What was found of one class.

    Attributes:
        label: the class.
        drawn_wide: the training cases that the second reader has drawn wider.
        too_wide, too_narrow: the training cases that DALE down-weights, by why.
        verdict: "right" where only such are down-weighted, and as too wide; "wrong" where others are, or as too narrow,
            which nobody has drawn; "missed" where none is.
    """

    label: str
    drawn_wide: Sequence[str]
    too_wide: Sequence[str]
    too_narrow: Sequence[str]
    verdict: str


def readers_found(distrust: Mapping[str, Sequence[float]], phantom: Mapping[str, Any]) -> list[Found]:
    """Say for each class what was found, and whether it is so.

    Args:
        distrust: of each training case and label value, above 0 where the label is held to be too wide, below 0 where
            too narrow.
        phantom: what `phantom.json` says of the dataset.
    """
    wide = [case for case in distrust if case in phantom["drawn_wide"]]
    found = []
    for name, value in FOREGROUND.items():
        too_wide = [case for case, values in distrust.items() if values[value] > 0]
        too_narrow = [case for case, values in distrust.items() if values[value] < 0]
        verdict = "wrong" if too_narrow or set(too_wide) - set(wide) else "right" if too_wide else "missed"
        found.append(Found(name, wide, too_wide, too_narrow, verdict))
    return found
