"""Whole objects that one side has and the other lacks, or gives to another class."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.masks.boxes import connected_parts
from nnunetv2_dale.masks.overlap import Mask

Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Component:
    """A connected part of a mask."""

    voxels: int  # its size
    # the one of its voxels that is deepest inside along the array's axes, so that it shows in three slices
    voxel: tuple[int, ...]
    other: str | None  # key of the class that the other side gives to most of it, or None for background


@dataclass(frozen=True)
class ObjectComparison:
    """The connected parts of one class's mask on both sides."""

    extra: tuple[Component, ...]  # of the label; the referees find nothing there. Largest first, as the others.
    missed: tuple[Component, ...]  # of the referees; the label has nothing there
    # of either side; the other side gives most of it to another class. The class named is the one that the referees
    # find.
    exchanged: tuple[Component, ...]
    # the masks without those parts, to be compared by their surfaces
    label_common: Mask
    referees_common: Mask
    # size of the referees' part that the median of their voxels lies in, so that specks beside an organ do not make it
    # small; 0 without any
    typical_voxels: int


def compare_objects(
    label: Labels, referees: Labels, values: Collection[int], key_of_value: Mapping[int, str]
) -> ObjectComparison:
    """Sort the connected parts (by faces, edges or corners) of one class on both sides.

    Args:
        key_of_value: value → key of its class; empty for overlapping regions, which cannot be exchanged.
    """
    label_mask, referees_mask = (np.isin(each, list(values)) for each in (label, referees))
    extra, exchanged_label, label_common, _ = _sorted(label_mask, referees, values, key_of_value)
    missed, exchanged_referees, referees_common, sizes = _sorted(referees_mask, label, values, key_of_value)
    return ObjectComparison(
        extra=extra,
        missed=missed,
        exchanged=_largest_first(exchanged_label + exchanged_referees),
        label_common=label_common,
        referees_common=referees_common,
        typical_voxels=_typical_size(sizes),
    )


def _typical_size(sizes: Sequence[int]) -> int:
    if not sizes:
        return 0
    rising = np.sort(sizes)
    return int(rising[np.searchsorted(np.cumsum(rising), rising.sum() / 2)])


def _sorted(
    mask: Mask, opposite: Labels, values: Collection[int], key_of_value: Mapping[int, str]
) -> tuple[tuple[Component, ...], tuple[Component, ...], Mask, list[int]]:
    """(parts alone, parts of another class, mask of the rest, sizes of all parts)."""
    alone, exchanged, sizes, common = [], [], [], mask.copy()
    for window, part in connected_parts(mask):
        counts = np.bincount(opposite[window][part])
        size = int(counts.sum())
        sizes.append(size)
        theirs = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        most = max(theirs, key=lambda value: theirs[value])
        if most in key_of_value and most not in values and theirs[most] >= size / 2:
            exchanged.append(Component(size, _deepest(part, window), key_of_value[most]))
        elif not any(value in theirs for value in values):
            alone.append(Component(size, _deepest(part, window), None))
        else:
            continue
        common[window] &= ~part
    return _largest_first(alone), _largest_first(exchanged), common, sizes


def _largest_first(parts: Sequence[Component]) -> tuple[Component, ...]:
    return tuple(sorted(parts, key=lambda part: -part.voxels))


def _deepest(part: Mask, window: tuple[slice, ...]) -> tuple[int, ...]:
    rim = [int(size > 1) for size in part.shape]  # a part of one slice is deep within its slice
    depth = ndimage.distance_transform_cdt(np.pad(part, [(width, width) for width in rim]), "chessboard")
    place = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return tuple(int(index) - width + axis.start for index, width, axis in zip(place, rim, window, strict=True))
