"""A dataset of small abdomens before any training: a body, a spine of three, two kidneys; with errors by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.audit.fixtures import ellipsoid
from tests.datasets import write_raw_dataset

DATASET = "Dataset005_Abdomens"
NAMES = {"background": 0, "upper": 1, "middle": 2, "lower": 3, "right": 4, "left": 5}
SHAPE, SPACING_ZYX = (24, 36, 40), (4.0, 3.0, 3.0)
SIZES = {1: (2, 3, 3), 2: (2, 3, 3), 3: (2, 3, 3), 4: (5, 4, 3), 5: (5, 4, 3)}  # radii in voxels
PLACES = {1: (18, 24, 20), 2: (12, 24, 20), 3: (6, 24, 20), 4: (9, 20, 9), 5: (9, 20, 31)}
SHADES = {1: 300.0, 2: 300.0, 3: 300.0, 4: 180.0, 5: 180.0}
ERRORS = ("speck", "misplaced", "missed_object", "exchanged", "flipped", "shifted", "outside", "volume", "empty")
Volume = NDArray[np.float32]
Labels = NDArray[np.uint8]


def abdomen(case: int) -> tuple[Labels, Volume]:
    """A label and its image; organs lie and grow a little differently in every case."""
    rng = np.random.default_rng(case)
    body = ellipsoid(SHAPE, (11.5, 17.5, 19.5), (30, 15 + case % 3, 18))
    label, image = np.zeros(SHAPE, np.uint8), np.where(body, 100, 0).astype(np.float32)
    for value, radii in SIZES.items():
        place = np.array(PLACES[value]) + rng.normal(0, 0.4, 3)
        organ = ellipsoid(SHAPE, place, np.array(radii) * rng.normal(1, 0.05))
        label[organ], image[organ] = value, SHADES[value]
    return label, (image + rng.normal(0, 8, SHAPE)).astype(np.float32)


def _draw(error: str, label: Labels, image: Volume) -> Labels:
    """The label with an error of `ERRORS`; that of padding changes the image."""
    match error:
        case "speck":
            label[9, 20, 37] = 5
        case "misplaced":
            label[20:22, 6:8, 20:23] = 3
        case "missed_object":
            label[label == 2] = 0
        case "exchanged":
            return np.array([0, 1, 2, 3, 5, 4], np.uint8)[label]
        case "flipped":
            return np.ascontiguousarray(label[::-1])
        case "shifted":
            return np.roll(label, 3, axis=1)
        case "outside":
            image[:7] = 0
        case "volume":
            label[ellipsoid(SHAPE, PLACES[4], (7, 7, 6)) & (label == 0)] = 4
        case "empty":
            label[:] = 0
        case _:
            label[label == NAMES[error]] = 0
    return label


def write_abdomens(root: Path, errors: Mapping[int, str], cases: int = 40) -> Path:
    """A raw dataset; case number → name of `ERRORS`, or of a class that its label lacks."""
    labels, images = {}, {}
    for case in range(cases):
        label, image = abdomen(case)
        if case in errors:
            label = _draw(errors[case], label, image)
        labels[f"case_{case:02d}"], images[f"case_{case:02d}"] = label, [image]
    return write_raw_dataset(root / DATASET, labels, images, {"spacing_zyx": SPACING_ZYX}, labels=NAMES)
