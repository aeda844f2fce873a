"""One random abdomen in Hounsfield units, with the organs and lesions a network is to find.

Sizes and places are in the coordinates of `implicit_shapes`: -1 to 1 over the field of view. The densities are those of
a portal-venous contrast phase. It looks like CT and behaves like it where segmentation is concerned (neighbours of
similar density, partial volume, contents that vary); it is not an anatomical atlas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnunetv2_dale.demo.implicit_shapes import (
    Coordinates,
    FloatArray,
    ellipsoid,
    intersection,
    paint,
    tube,
    union,
    without,
)

LABELS: dict[str, int] = {"background": 0, "liver": 1, "spleen": 2, "kidney": 3, "lesion": 4}
FOREGROUND = {name: value for name, value in LABELS.items() if value != 0}

HU_AIR, HU_FAT, HU_MUSCLE, HU_BONE = -1000.0, -100.0, 58.0, 420.0


@dataclass(frozen=True)
class Patient:
    """The anatomy of one case, before the scanner sees it."""

    image_hu: FloatArray  # (z, y, x)
    label: npt.NDArray[np.uint8]  # (z, y, x), values of LABELS: the truth
    lesion_edge: FloatArray  # (z, y, x): width of the gradual boundary near a lesion (field = 2), else 0


def draw_patient(shape: Sequence[int], rng: np.random.Generator) -> Patient:
    """Draw one abdomen on a grid (z, y, x); every label of `LABELS` is in it from about 8 x 32 x 32 voxels on."""
    grid = Coordinates.of_grid(shape)
    at = grid.bent(rng, amplitude=0.035)
    image = np.full(tuple(shape), HU_AIR, dtype=np.float32)
    _paint_trunk(image, grid, at, rng)
    _paint_bones(image, at)
    _paint_gut(image, at, rng)
    _paint_great_vessels(image, at)
    organs = {"liver": _liver(at, rng), "spleen": _spleen(at, rng), "kidney": _kidneys(at, rng)}
    organ_hu = {"liver": rng.normal(106, 4), "spleen": rng.normal(130, 4), "kidney": rng.normal(185, 8)}
    label = np.zeros(tuple(shape), dtype=np.uint8)
    for name, organ in organs.items():
        paint(image, organ, organ_hu[name])
        label[organ < 0] = LABELS[name]
    paint(image, organs["kidney"] + 0.045, organ_hu["kidney"] - 45, width=0.010)
    _paint_liver_vessels(image, at, organs["liver"], rng)
    lesion, lesion_edge = _paint_lesions(image, grid, organs["liver"], rng)
    label[lesion < 0] = LABELS["lesion"]
    return Patient(image, label, lesion_edge)


def _paint_trunk(image: FloatArray, grid: Coordinates, at: Coordinates, rng: np.random.Generator) -> None:
    """Table, skin, fat, the muscular wall with its ribs, and the fat between the organs."""
    table: FloatArray = np.abs(grid.y - 0.745 + 0.12 * np.square(grid.x)) - np.float32(0.010)
    table_edges: FloatArray = np.abs(grid.x) - np.float32(0.70)
    paint(image, intersection(table, table_edges), -20.0, width=0.005)
    fat = rng.uniform(0.06, 0.12)
    body = intersection(ellipsoid(at, (0, 0, 0), (0.91, 0.68, np.inf)), at.y - 0.625)
    paint(image, body, 10.0)
    paint(image, body + 0.018, HU_FAT)
    wide, deep = 0.91 - fat, 0.68 - fat
    paint(image, intersection(ellipsoid(at, (0, 0, 0), (wide, deep, np.inf)), at.y - 0.575), HU_MUSCLE)
    cavity = ellipsoid(at, (0, -0.02, 0), (wide - 0.065, deep - 0.065, np.inf))
    back = ellipsoid(at, (0, 0.55, 0), (0.42, 0.27, np.inf))
    paint(image, without(intersection(cavity, at.y - 0.45), back), HU_FAT)
    for rib in range(5):
        for side in (-1, 1):
            angle = 0.85 + 0.36 * rib + 0.20 * at.z
            x, y = side * (wide - 0.03) * np.sin(angle), -(deep - 0.03) * np.cos(angle)
            tangent = side * np.arctan2(deep * np.sin(angle), wide * np.cos(angle))
            _paint_rib(image, at, x, y, tangent)


def _paint_rib(image: FloatArray, at: Coordinates, x: FloatArray, y: FloatArray, tangent: FloatArray) -> None:
    """A flat ellipse in each slice, whose centre moves from slice to slice: dense outside, marrow inside."""
    cos, sin = np.cos(tangent), np.sin(tangent)
    along, across = cos * (at.x - x) + sin * (at.y - y), cos * (at.y - y) - sin * (at.x - x)
    rib = ((np.sqrt(np.square(along / 0.065) + np.square(across / 0.024)) - 1) * 0.024).astype(np.float32)
    rib = intersection(rib, at.y - 0.46)
    paint(image, rib, HU_BONE)
    paint(image, rib + 0.015, 200.0)


def _paint_bones(image: FloatArray, at: Coordinates) -> None:
    """A vertebra with its canal and processes, between the muscles of the back."""
    for side in (-1, 1):
        paint(image, ellipsoid(at, (side * 0.19, 0.49, 0), (0.17, 0.10, np.inf), turn=side * 0.15), HU_MUSCLE)
        paint(image, ellipsoid(at, (side * 0.20, 0.33, -0.6), (0.07, 0.09, 1.2)), HU_MUSCLE + 4)
        paint(image, tube(at, (side * 0.05, 0.43, 0), (side * 0.21, 0.46, 0), 0.022), HU_BONE)
    paint(image, tube(at, (0, 0.48, 0), (0, 0.57, 0), 0.024), HU_BONE)
    arch = ellipsoid(at, (0, 0.435, 0), (0.085, 0.080, np.inf))
    paint(image, arch, HU_BONE)
    vertebra = ellipsoid(at, (0, 0.29, 0), (0.135, 0.110, np.inf))
    paint(image, vertebra, HU_BONE)
    paint(image, vertebra + 0.018, 190.0)
    paint(image, ellipsoid(at, (0, 0.430, 0), (0.055, 0.048, np.inf)), 28.0)


def _paint_gut(image: FloatArray, at: Coordinates, rng: np.random.Generator) -> None:
    """Stomach with an air-fluid level, loops of bowel with some gas, and the pancreas."""
    for _ in range(24):
        x, z = rng.uniform(-0.45, 0.60), rng.uniform(-1.2, 0.0)
        y = rng.uniform(-0.42, 0.02)
        radii = (rng.uniform(0.06, 0.13), rng.uniform(0.05, 0.09), rng.uniform(0.3, 0.6))
        loop = ellipsoid(at, (x, y, z), radii, turn=rng.uniform(-0.8, 0.8))
        paint(image, loop, 62.0)
        paint(image, loop + 0.018, rng.uniform(15, 45), width=0.012)
        if rng.random() < 0.35:
            paint(image, intersection(loop + 0.02, at.y - y + 0.01), -850.0)
    stomach = ellipsoid(at, (0.34, -0.26, 0.45), (0.27, 0.19, 0.75), turn=0.35)
    paint(image, stomach, 70.0)
    paint(image, stomach + 0.02, rng.uniform(10, 30))
    fluid_level = rng.uniform(-0.36, -0.30)
    paint(image, intersection(stomach + 0.022, at.y - fluid_level), -940.0)
    pancreas = union(
        tube(at, (-0.14, 0.00, -0.25), (0.08, -0.06, 0.0), 0.050),
        tube(at, (0.08, -0.06, 0.0), (0.38, 0.04, 0.35), 0.042),
    )
    paint(image, pancreas, 88.0, width=0.014)


def _paint_great_vessels(image: FloatArray, at: Coordinates) -> None:
    """Aorta with a calcification, vena cava, splenic vein."""
    paint(image, tube(at, (-0.10, 0.02, 0.0), (0.42, 0.10, 0.4), 0.018), 165.0)
    aorta = ellipsoid(at, (0.05, 0.13, 0), (0.062, 0.062, np.inf))
    paint(image, aorta, 172.0)
    paint(image, intersection(np.abs(aorta + 0.006) - 0.010, 0.08 - at.x, 0.12 - at.y), 520.0)
    paint(image, ellipsoid(at, (-0.13, 0.11, 0), (0.072, 0.048, np.inf), turn=0.3), 135.0)


def _liver(at: Coordinates, rng: np.random.Generator) -> FloatArray:
    size = rng.uniform(0.92, 1.05)
    right = ellipsoid(at, (-0.40, -0.06, 0.30), (0.38 * size, 0.41 * size, 1.25), turn=0.15)
    left = ellipsoid(at, (-0.06, -0.31, 0.45), (0.36 * size, 0.17 * size, 0.75), turn=0.12)
    hilum = ellipsoid(at, (-0.10, 0.06, 0.0), (0.20, 0.16, 1.4))
    return without(union(right, left), hilum)


def _spleen(at: Coordinates, rng: np.random.Generator) -> FloatArray:
    size = rng.uniform(0.9, 1.15)
    outer = ellipsoid(at, (0.58, 0.12, 0.35), (0.19 * size, 0.29 * size, 0.85), turn=-0.35)
    return without(outer, ellipsoid(at, (0.40, 0.02, 0.3), (0.17, 0.20, 1.2), turn=-0.2))


def _kidneys(at: Coordinates, rng: np.random.Generator) -> FloatArray:
    kidneys = []
    for side, z in ((-1, -0.40), (1, -0.25)):
        size = rng.uniform(0.93, 1.1)
        kidney = ellipsoid(at, (side * 0.38, 0.27, z), (0.125 * size, 0.16 * size, 0.85), turn=side * 0.45)
        sinus = ellipsoid(at, (side * 0.28, 0.22, z), (0.085, 0.045, 0.35), turn=-side * 0.5)
        kidneys.append(without(kidney, sinus))
    return union(*kidneys)


def _paint_liver_vessels(image: FloatArray, at: Coordinates, liver: FloatArray, rng: np.random.Generator) -> None:
    """Portal and hepatic branches: a little brighter than the liver around them."""
    trunk = (-0.20, -0.02, 0.15)
    for _ in range(9):
        end = (rng.uniform(-0.72, -0.05), rng.uniform(-0.38, 0.22), rng.uniform(-0.4, 1.1))
        branch = tube(at, trunk, end, rng.uniform(0.012, 0.022))
        paint(image, intersection(branch, liver + 0.03), 152.0, width=0.012)


def _paint_lesions(
    image: FloatArray, grid: Coordinates, liver: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Two to four dark lesions in the liver, each with its own gradual edge.

    Returns:
        the lesions as one implicit shape, and for each voxel near one its edge width, elsewhere 0.
    """
    nearest = np.full(image.shape, np.inf, dtype=np.float32)
    edge = np.zeros(image.shape, dtype=np.float32)
    around = grid.bent(rng, amplitude=0.03, waves=8)
    for _ in range(int(rng.integers(2, 5))):
        radius, width = rng.uniform(0.09, 0.16), rng.uniform(0.010, 0.032)
        room = np.flatnonzero(liver < min(-0.6 * radius, float(np.quantile(liver[liver < 0], 0.2))))
        centre = np.unravel_index(int(rng.choice(room)), image.shape)
        place = [float(axis[centre]) for axis in (around.x, around.y, around.z)]
        stretch = rng.uniform(0.75, 1.3)
        lesion = ellipsoid(around, place, (radius * stretch, radius / stretch, 2.6 * radius), rng.uniform(0, np.pi))
        inside_liver = np.maximum(lesion, (liver + 0.01))
        paint(image, inside_liver, rng.normal(28, 6), width=width)
        edge = np.where(lesion < nearest, np.float32(width), edge)
        nearest = np.minimum(nearest, inside_liver)
    return nearest, np.where(nearest < 0.1, edge, np.float32(0))
