"""One random abdomen in Hounsfield units, with the organs and lesions a network is to find.

It looks like CT and behaves like it where segmentation is concerned (neighbours of similar density, partial volume,
contents that vary); it is not an anatomical atlas. The densities are those of a portal-venous contrast phase.

Places are in the field of view's own coordinates, so that the same body fills a grid of any size: x to the patient's
left and z to the head from -1 to 1, y to the back from -0.8 to 0.8. A shape is a float array over the voxels that is
negative inside, zero on the surface, and grows about as fast as the distance from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

FloatArray = npt.NDArray[np.float32]
LABELS: dict[str, int] = {"background": 0, "liver": 1, "spleen": 2, "kidney": 3, "lesion": 4}
FOREGROUND = {name: value for name, value in LABELS.items() if value != 0}

HU_AIR, HU_FAT, HU_MUSCLE, HU_MARROW, HU_BONE = -1000.0, -100.0, 58.0, 190.0, 420.0
SHARP = 0.008  # width of an anatomical boundary; the scanner's blur comes on top


@dataclass(frozen=True)
class Patient:
    """The anatomy of one case, before the scanner sees it."""

    image_hu: FloatArray  # (z, y, x)
    label: npt.NDArray[np.uint8]  # (z, y, x), values of LABELS: the truth
    lesion_edge: FloatArray  # (z, y, x): width of the gradual boundary near a lesion (field = 2), else 0


def draw_patient(shape: Sequence[int], rng: np.random.Generator) -> Patient:
    """Draw one abdomen on a grid (z, y, x); every label of `LABELS` is in it from about 8 x 32 x 32 voxels on."""
    grid = coordinates(shape)
    at = bent(grid, rng, amplitude=0.035)
    image = np.full(tuple(shape), HU_AIR, dtype=np.float32)
    for density, *solid in [*_trunk(rng), *_gut_and_vessels(rng)]:
        paint(image, ellipsoid(at, *solid), density)
    label = np.zeros(tuple(shape), dtype=np.uint8)
    organs = _organs(at, rng)
    for name, density, spread in (("liver", 106, 4), ("spleen", 130, 4), ("kidney", 185, 8)):
        density = rng.normal(density, spread)
        paint(image, organs[name], density)
        label[organs[name] < 0] = LABELS[name]
    paint(image, organs["kidney"] + 0.045, density - 45, width=0.010)  # darker inside than in its cortex
    for _ in range(9):  # portal and hepatic branches
        place = (rng.uniform(-0.7, -0.1), rng.uniform(-0.35, 0.2), rng.uniform(-0.4, 1.1))
        branch = ellipsoid(at, place, (0.16, rng.uniform(0.014, 0.024), 0.4), rng.uniform(0, np.pi))
        paint(image, np.maximum(branch, organs["liver"] + 0.03), 152.0, width=0.012)
    lesion, lesion_edge = _paint_lesions(image, grid, organs["liver"], rng)
    label[lesion < 0] = LABELS["lesion"]
    return Patient(image, label, lesion_edge)


def _trunk(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Density and ellipsoid of what is painted first: skin, fat, muscles, the fat between the organs, bones."""
    wide, deep = 0.91, 0.66
    fat = rng.uniform(0.06, 0.12)
    layers = ((0, 10.0), (0.018, HU_FAT), (fat, HU_MUSCLE), (fat + 0.065, HU_FAT))
    yield from ((density, (0, 0, 0), (wide - depth, deep - depth, inf)) for depth, density in layers)
    yield HU_MUSCLE, (0, 0.47, 0), (0.42, 0.24, inf)
    for side in (-1, 1):
        yield HU_MUSCLE + 4, (side * 0.20, 0.33, -0.6), (0.07, 0.09, 1.2)
        yield HU_BONE, (side * 0.13, 0.45, 0), (0.11, 0.022, inf), side * 0.2  # transverse processes
    for angle in (each * side for each in (0.85, 1.21, 1.57, 1.93, 2.29) for side in (-1, 1)):  # ribs
        place = (wide - fat - 0.03) * np.sin(angle), -(deep - fat - 0.03) * np.cos(angle), 0
        along = np.arctan2(deep * np.sin(angle), wide * np.cos(angle))
        yield HU_BONE, place, (0.065, 0.024, inf), along
        yield HU_MARROW, place, (0.030, 0.009, inf), along
    yield HU_BONE, (0, 0.53, 0), (0.024, 0.07, inf)  # spinous process
    yield HU_BONE, (0, 0.435, 0), (0.085, 0.080, inf)  # the arch
    yield HU_BONE, (0, 0.29, 0), (0.135, 0.110, inf)  # vertebra
    yield HU_MARROW, (0, 0.29, 0), (0.115, 0.092, inf)
    yield 28.0, (0, 0.430, 0), (0.055, 0.048, inf)  # its canal


def _gut_and_vessels(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Density and ellipsoid of bowel and stomach with contents and gas, of pancreas and great vessels."""
    for _ in range(24):
        x, y, z = rng.uniform((-0.45, -0.36, -1.2), (0.52, 0.02, 0.0))
        width, height, depth = rng.uniform((0.06, 0.05, 0.3), (0.13, 0.09, 0.6))
        turn = rng.uniform(-0.8, 0.8)
        yield 62.0, (x, y, z), (width, height, depth), turn
        yield rng.uniform(15, 45), (x, y, z), (width - 0.02, height - 0.02, depth), turn
        if rng.random() < 0.35:
            yield -850.0, (x, y - 0.02, z), (width - 0.04, height - 0.03, depth - 0.1), 0.0
    yield 70.0, (0.34, -0.26, 0.45), (0.27, 0.19, 0.75), 0.35
    yield rng.uniform(10, 30), (0.34, -0.26, 0.45), (0.25, 0.17, 0.72), 0.35
    yield -940.0, (0.30, -0.34, 0.45), (0.18, rng.uniform(0.05, 0.08), 0.7), 0.15
    yield 88.0, (0.05, -0.01, -0.1), (0.30, 0.045, 0.35), 0.1
    yield 165.0, (0.16, 0.06, 0.2), (0.28, 0.018, 0.2), 0.15  # splenic vein
    yield 520.0, (-0.005, 0.115, 0), (0.016, 0.025, inf), 0.4  # calcified wall of the aorta
    yield 172.0, (0.05, 0.13, 0), (0.060, 0.060, inf)
    yield 135.0, (-0.13, 0.11, 0), (0.072, 0.048, inf), 0.3  # vena cava


def _organs(at: FloatArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    size = rng.uniform(0.92, 1.05)
    right = ellipsoid(at, (-0.40, -0.06, 0.30), (0.38 * size, 0.41 * size, 1.25), turn=0.15)
    left = ellipsoid(at, (-0.06, -0.31, 0.45), (0.36 * size, 0.17 * size, 0.75), turn=0.12)
    liver = without(np.minimum(right, left), ellipsoid(at, (-0.10, 0.06, 0.0), (0.20, 0.16, 1.4)))
    size = rng.uniform(0.9, 1.15)
    outer = ellipsoid(at, (0.58, 0.12, 0.35), (0.19 * size, 0.29 * size, 0.85), turn=-0.35)
    spleen = without(outer, ellipsoid(at, (0.40, 0.02, 0.3), (0.17, 0.20, 1.2), turn=-0.2))
    kidneys = []
    for side, z in ((-1, -0.40), (1, -0.25)):
        size = rng.uniform(0.93, 1.1)
        kidney = ellipsoid(at, (side * 0.38, 0.27, z), (0.125 * size, 0.16 * size, 0.85), turn=side * 0.45)
        sinus = ellipsoid(at, (side * 0.28, 0.22, z), (0.085, 0.045, 0.35), turn=-side * 0.5)
        kidneys.append(without(kidney, sinus))
    return {"liver": liver, "spleen": spleen, "kidney": np.minimum(*kidneys)}


def _paint_lesions(
    image: FloatArray, grid: FloatArray, liver: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Two to four dark lesions in the liver, as one shape, and the width of the edge near each, elsewhere 0."""
    nearest = np.full(image.shape, np.inf, dtype=np.float32)
    edge = np.zeros(image.shape, dtype=np.float32)
    around = bent(grid, rng, amplitude=0.03, waves=8)
    for _ in range(int(rng.integers(2, 5))):
        radius, width = rng.uniform(0.09, 0.16), rng.uniform(0.010, 0.032)
        room = np.flatnonzero(liver < min(-0.6 * radius, float(np.quantile(liver[liver < 0], 0.2))))
        place = around.reshape(3, -1)[:, rng.choice(room)].tolist()
        stretch = rng.uniform(0.75, 1.3)
        lesion = ellipsoid(around, place, (radius * stretch, radius / stretch, 2.6 * radius), rng.uniform(0, np.pi))
        inside_liver = np.maximum(lesion, liver + 0.01)
        paint(image, inside_liver, rng.normal(28, 6), width=width)
        edge = np.where(lesion < nearest, np.float32(width), edge)
        nearest = np.minimum(nearest, inside_liver)
    return nearest, np.where(nearest < 0.1, edge, np.float32(0))


def coordinates(shape: Sequence[int]) -> FloatArray:
    """x, y and z of the voxel centres of a grid (z, y, x) over the whole field of view, (3, z, y, x)."""
    axes = [((np.arange(size) + 0.5) / size * 2 - 1) * end for size, end in zip(shape, (1.0, 0.8, 1.0), strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")[::-1]).astype(np.float32)


def bent(grid: FloatArray, rng: np.random.Generator, amplitude: float, waves: int = 6) -> FloatArray:
    """Return the same voxels after a smooth in-plane displacement of a few random waves."""
    moved = grid.copy()
    for axis in (0, 1):
        for wave in rng.uniform(-1, 1, (waves, 3)) * (4.0, 4.0, 2.0):
            phase = np.tensordot(wave.astype(np.float32), grid, 1) + np.float32(rng.uniform(0, 2 * np.pi))
            moved[axis] += amplitude / np.sqrt(waves) * np.sin(phase)
    return moved


def ellipsoid(at: FloatArray, centre: Sequence[float], radii: Sequence[float], turn: float = 0.0) -> FloatArray:
    """Return an ellipsoid with (x, y, z) centre and radii, turned by `turn` radians in the x-y plane.

    An infinite z radius makes it a cylinder.
    """
    x, y, z = (axis - middle for axis, middle in zip(at, centre, strict=True))
    turned = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x, z
    scaled = sum(np.square(axis / radius) for axis, radius in zip(turned, radii, strict=True))
    return np.asarray((np.sqrt(scaled) - 1) * min(radii[:2]), dtype=np.float32)


def without(shape: FloatArray, removed: FloatArray) -> FloatArray:
    """Return what is inside `shape` and not inside `removed`."""
    return np.maximum(shape, -removed)


def paint(image_hu: FloatArray, shape: FloatArray, value_hu: float, width: float = SHARP) -> None:
    """Mix `value_hu` into the image, in place, by the shape's share of each voxel.

    The share is 1 deep inside, 0.5 on the surface, 0 outside, over `width`.
    """
    image_hu += expit(-shape / np.float32(width)) * (np.float32(value_hu) - image_hu)


def telling_slice(truth: npt.NDArray[Any]) -> int:
    """Find the slice with most lesion among those where every other class that the case has is seen too.

    Without such a slice, the one with most classes, and among those with most lesion.
    """
    classes = [(truth == value).sum(axis=(1, 2)) for value in FOREGROUND.values()]
    seen = sum((area > 0).astype(np.float64) for area in classes)
    lesion = (truth == LABELS["lesion"]).sum(axis=(1, 2))
    return int(np.argmax(seen + lesion / (lesion.max() + 1)))
