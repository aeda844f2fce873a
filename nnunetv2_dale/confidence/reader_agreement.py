"""How readers differ: Dice and signed distance of surfaces, of every pair and of each to the consensus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from nnunetv2_dale.confidence.consensus import Labels
from nnunetv2_dale.masks.boxes import box_of
from nnunetv2_dale.masks.overlap import overlap
from nnunetv2_dale.masks.surface import surface_pair

CONSENSUS = "consensus"


@dataclass(frozen=True)
class Comparison:
    """One class of one case, as two readers drew it.

    Attributes:
        first, second: readers; the second may be `CONSENSUS`.
        dice: 0 where only one of them drew it.
        distance_mm: mean over both surfaces, each face by its area, of how far the first lies outside (+) or inside (-)
            of the second; None where one has no surface.
        is_far: they lie a voxel's shortest edge apart or more in that mean, or only one drew the class.
    """

    case: str
    class_name: str
    first: str
    second: str
    dice: float
    distance_mm: float | None
    is_far: bool


def comparisons(
    case: str,
    readers: Mapping[str, Labels],
    consensus: Labels,
    classes: Mapping[str, tuple[int, ...]],
    spacing_mm: tuple[float, ...],
) -> Iterator[Comparison]:
    """Every pair of readers, then each reader with the consensus; a class that neither drew is left out.

    Args:
        readers: name → label map (Z, Y, X).
        classes: name → the label values it holds.
        spacing_mm: of the axes z, y, x.
    """
    everyone = {**readers, CONSENSUS: consensus}
    steps = [step for step, size in zip(spacing_mm, consensus.shape, strict=True) if size > 1]
    for name, values in classes.items():
        masks = {who: np.isin(labels, values) for who, labels in everyone.items()}
        box = box_of(np.logical_or.reduce(list(masks.values())), margin=1)
        if box is None:
            continue
        masks = {who: mask[box] for who, mask in masks.items()}
        for first, second in [*combinations(readers, 2), *((who, CONSENSUS) for who in readers)]:
            shared = overlap(masks[first], masks[second])
            if shared is not None:
                pair = surface_pair(masks[first], masks[second], spacing_mm)
                distance = None if pair is None else pair.mean_mm
                far = shared[0] == 0 if distance is None else abs(distance) >= min(steps)
                yield Comparison(case, name, first, second, shared[0], distance, far)
