"""Errors that need no network to be seen, as the errata lists of public datasets have them, put into one label.

Specks, a lost class and exchanged sides: TotalSegmentator #394, #299, #245, PanTS #4, #12, CTSpine1K #13. The others
are what a wrong header or a wrong crop does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.audit.findings import Kind

SHIFT_MM = 10.0
SPECKS, SPECK = 3, (1, 2, 2)  # how many, and their size in voxels (z, y, x)
PADDED = 5  # a label's slices over this are padding, at least 2
Labels = NDArray[np.int16]
Images = NDArray[np.float32]


@dataclass(frozen=True)
class Scan:
    """A label (Z, Y, X) and its image (C, Z, Y, X), spacing in mm."""

    label: Labels
    images: Images
    spacing: Sequence[float]


@dataclass(frozen=True)
class GrossError:
    """How an error is made, and the kinds that rightly name it."""

    make: Callable[[Scan, np.random.Generator], tuple[Labels, Images]]
    kinds: tuple[Kind, ...]


def gross_errors(pair: tuple[int, int], kept: Collection[int]) -> Mapping[str, GrossError]:
    """All errors by name; the pair of classes can be exchanged.

    Classes that are kept are missing so often that one more loss says nothing.
    """
    moved: tuple[Kind, ...] = ("shifted", "flipped", "exchanged", "other_case")
    errors = {
        "specks": GrossError(_specks, ("speck", "misplaced")),
        "a class lost": GrossError(lambda scan, rng: _lost(scan, rng, kept), ("empty", "missed_object")),
        "sides exchanged": GrossError(lambda scan, _: _exchanged(scan, pair), ("exchanged", "flipped")),
        "label over padding": GrossError(lambda scan, _: _padded(scan), ("outside",)),
    }
    for axis, name in enumerate(("top and bottom", "front and back", "left and right")):
        errors[f"flipped, {name}"] = GrossError(_along(_flipped, axis), moved)
        errors[f"moved 10 mm, {name}"] = GrossError(_along(_moved, axis), moved)
    return errors


def _along(
    change: Callable[[Scan, int], tuple[Labels, Images]], axis: int
) -> Callable[[Scan, np.random.Generator], tuple[Labels, Images]]:
    return lambda scan, _: change(scan, axis)


def _specks(scan: Scan, rng: np.random.Generator) -> tuple[Labels, Images]:
    """A few voxels of classes that the label has, anywhere where it has nothing, not touching their class."""
    label = scan.label.copy()
    for value in rng.choice(np.unique(label[label > 0]), SPECKS):
        free = ~ndimage.maximum_filter(label > 0, [2 * size + 1 for size in SPECK])
        z, y, x = rng.choice(np.argwhere(free[: -SPECK[0], : -SPECK[1], : -SPECK[2]]))
        label[z : z + SPECK[0], y : y + SPECK[1], x : x + SPECK[2]] = value
    return label, scan.images


def _lost(scan: Scan, rng: np.random.Generator, kept: Collection[int]) -> tuple[Labels, Images]:
    value = rng.choice([value for value in np.unique(scan.label[scan.label > 0]) if value not in kept])
    return np.where(scan.label == value, 0, scan.label).astype(np.int16), scan.images


def _exchanged(scan: Scan, pair: tuple[int, int]) -> tuple[Labels, Images]:
    first, second = pair
    label = np.select([scan.label == first, scan.label == second], [second, first], scan.label)
    return label.astype(np.int16), scan.images


def _padded(scan: Scan) -> tuple[Labels, Images]:
    """The image is constant from its bottom up to a fifth of the labelled slices."""
    slices = np.flatnonzero((scan.label > 0).any(axis=(1, 2)))
    images = scan.images.copy()
    images[:, : slices[0] + max(2, len(slices) // PADDED)] = images.min()
    return scan.label, images


def _flipped(scan: Scan, axis: int) -> tuple[Labels, Images]:
    return np.ascontiguousarray(np.flip(scan.label, axis)), scan.images


def _moved(scan: Scan, axis: int) -> tuple[Labels, Images]:
    """What leaves the image is lost."""
    voxels = round(SHIFT_MM / scan.spacing[axis])
    label = np.roll(scan.label, voxels, axis)
    np.moveaxis(label, axis, 0)[:voxels] = 0
    return label, scan.images
