"""The flip, exchange of axes or move of slices that would make a label agree with the referees."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.audit.displacement import middle
from nnunetv2_dale.masks.overlap import Mask, dice

Labels = NDArray[np.integer]
LARGEST_SIDE = 64  # voxels that are looked at along an axis
MOST_SLICES = 5


@dataclass(frozen=True)
class Orientation:
    """What a label would have to be turned by."""

    words: str  # what to do with the label, such as "flipped along x"; "" where no turn helps
    # mean Dice over the classes before and after, on a coarse grid
    agreement: float
    agreement_turned: float
    agreement_moved: float = 0.0  # the same when the whole label is moved instead, middle upon middle
    moved: tuple[int, ...] = ()  # voxels along each axis from the referees' middle to the label's


def best_orientation(label: Labels, referees: Labels) -> Orientation | None:
    """Return the turn of the whole label map that agrees best with the referees, and the move; None without a gain."""
    coarse = _coarse(referees, label.shape)
    before = _agreement(_coarse(label, label.shape), coarse)
    moved = _move(label > 0, referees > 0)
    back = np.roll(label, tuple(-step for step in moved), tuple(range(label.ndim))) if any(moved) else label
    best = Orientation("", before, before, _agreement(_coarse(back, label.shape), coarse), moved)
    for words, turned in _changes(label):
        after = _agreement(_coarse(turned, label.shape), coarse)
        if after > best.agreement_turned:
            best = replace(best, words=words, agreement_turned=after)
    return best if best.words or best.agreement_moved > before else None


def _move(label: Mask, referees: Mask) -> tuple[int, ...]:
    """Whole voxels from the middle of one mask to the middle of the other; none where one is empty."""
    if not label.any() or not referees.any():
        return (0,) * label.ndim
    return tuple(int(step) for step in np.rint(middle(label) - middle(referees)))


def _changes(label: Labels) -> Iterator[tuple[str, Labels]]:
    names = dict(enumerate("zyx"))
    there = [axis for axis in names if label.shape[axis] > 1]
    for count in range(1, len(there) + 1):
        for axes in itertools.combinations(there, count):
            yield f"flipped along {' and '.join(names[axis] for axis in axes)}", np.flip(label, axes)
    for first, second in itertools.combinations(there, 2):
        if label.shape[first] == label.shape[second]:
            swapped = np.swapaxes(label, first, second)
            words = f"with axes {names[first]} and {names[second]} exchanged"
            yield words, swapped
            for axis in (first, second):
                yield f"{words}, then flipped along {names[axis]}", np.flip(swapped, axis)
    for slices in range(-MOST_SLICES, MOST_SLICES + 1) if label.shape[0] > 2 * MOST_SLICES else ():
        if slices:
            words = f"moved by {abs(slices)} slice{'s' if abs(slices) > 1 else ''} {'up' if slices > 0 else 'down'}"
            yield words, np.roll(label, slices, axis=0)


def _coarse(labels: Labels, shape: Sequence[int]) -> Labels:
    return labels[tuple(slice(None, None, max(1, -(-size // LARGEST_SIDE))) for size in shape)]


def _agreement(first: Labels, second: Labels) -> float:
    """Mean Dice over the classes that one of them holds; 1 where both are empty."""
    values = np.union1d(np.unique(first), np.unique(second))
    per_class = [dice(first == value, second == value) for value in values[values > 0]]
    return float(np.mean(per_class)) if per_class else 1.0
