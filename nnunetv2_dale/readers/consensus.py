"""One label out of several readers': their vote or STAPLE's estimate, how many agree with it, and how they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from nnunetv2_dale.masks.boxes import box_of
from nnunetv2_dale.masks.overlap import overlap
from nnunetv2_dale.masks.surface import surface_pair

CONSENSUS = "consensus"
Labels = NDArray[np.int16]
Method = Literal["majority", "staple"]
LabelTarget = Literal[Method, "random"]  # random: the readers' labels are kept, each visit of a case draws one


def consensus_of(readers: Sequence[Labels], method: Method) -> tuple[Labels, int]:
    """Decide each voxel, by SimpleITK's `LabelVoting` or `MultiLabelSTAPLE` (Warfield et al. 2004).

    Args:
        readers: the label maps of at least two readers, (Z, Y, X), all of one shape, no value below 0.
    Returns:
        (Z, Y, X), and how many voxels two values had equal claims on: those are background.
    """
    undecided = int(max(each.max() for each in readers)) + 1
    images = [SimpleITK.GetImageFromArray(each.astype(np.uint16)) for each in readers]
    decide: Any = (
        SimpleITK.LabelVotingImageFilter() if method == "majority" else SimpleITK.MultiLabelSTAPLEImageFilter()
    )
    decide.SetLabelForUndecidedPixels(undecided)
    found = SimpleITK.GetArrayFromImage(decide.Execute(images)).astype(np.int16)
    ties = found == undecided
    found[ties] = 0
    return found, int(np.count_nonzero(ties))


def agreement_with(label: Labels, readers: Sequence[Labels]) -> NDArray[np.float32]:
    """The share of readers whose value is the label's, of each voxel: (Z, Y, X) in [0, 1]."""
    agreeing = sum((each == label).astype(np.float32) for each in readers)
    return np.asarray(agreeing / np.float32(len(readers)), np.float32)


@dataclass(frozen=True)
class Comparison:
    """One class of one case, as two readers drew it."""

    case: str
    class_name: str
    # readers; the second may be `CONSENSUS`
    first: str
    second: str
    dice: float  # 0 where only one of them drew it
    # mean over both surfaces, each face by its area, of how far the first lies outside (+) or inside (-) of the second;
    # None where one has no surface
    distance_mm: float | None
    is_far: bool  # they lie a voxel's shortest edge apart or more in that mean, or only one drew the class


def comparisons(
    case: str,
    readers: Mapping[str, Labels],
    consensus: Labels,
    classes: Mapping[str, tuple[int, ...]],
    spacing_mm: tuple[float, ...],
) -> Iterator[Comparison]:
    """Every pair of readers, then each reader with the consensus; a class that neither drew is left out."""
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
