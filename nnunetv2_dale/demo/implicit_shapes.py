"""Shapes as implicit functions: what the phantom's anatomy is made of.

A shape is a float array over the voxels that is negative inside, zero on the surface, and grows about as fast as the
distance from it. Positions are in the field of view's own coordinates: x to the patient's left from -1 to 1, y to the
back from -0.8 to 0.8 (a body is wider than deep), z to the head from -1 to 1. The same anatomy so fills a grid of any
size; a grid of about 4 rows to 5 columns shows it without distortion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

FloatArray = npt.NDArray[np.float32]

FIELD_OF_VIEW = ((-1.0, 1.0), (-0.80, 0.80), (-1.0, 1.0))  # z, y, x
SHARP = 0.008  # width of an anatomical boundary; the scanner's blur comes on top


@dataclass(frozen=True)
class Coordinates:
    """The three coordinates of every voxel, each (z, y, x)."""

    x: FloatArray
    y: FloatArray
    z: FloatArray

    @classmethod
    def of_grid(cls, shape: Sequence[int]) -> Coordinates:
        """Return the voxel centres of a grid (z, y, x) over the whole field of view."""
        axes = [
            (low + (np.arange(size) + 0.5) * (high - low) / size).astype(np.float32)
            for size, (low, high) in zip(shape, FIELD_OF_VIEW, strict=True)
        ]
        z, y, x = np.meshgrid(*axes, indexing="ij")
        return cls(x, y, z)

    def bent(self, rng: np.random.Generator, amplitude: float, waves: int = 6) -> Coordinates:
        """Return the same voxels after a smooth in-plane displacement of a few random waves."""
        moved = []
        for axis in (self.x, self.y):
            displacement = np.zeros_like(axis)
            for _ in range(waves):
                kx, ky, kz = (rng.uniform(-1, 1, 3) * (4.0, 4.0, 2.0)).astype(np.float32)
                displacement += np.sin(kx * self.x + ky * self.y + kz * self.z + np.float32(rng.uniform(0, 2 * np.pi)))
            moved.append((axis + amplitude / np.sqrt(waves) * displacement).astype(np.float32))
        return Coordinates(moved[0], moved[1], self.z)


def ellipsoid(at: Coordinates, centre: Sequence[float], radii: Sequence[float], turn: float = 0.0) -> FloatArray:
    """Return an ellipsoid with (x, y, z) centre and radii, turned by `turn` radians in the x-y plane.

    An infinite z radius makes it a cylinder.
    """
    dx, dy, dz = at.x - centre[0], at.y - centre[1], at.z - centre[2]
    cos, sin = np.cos(turn), np.sin(turn)
    along, across = cos * dx + sin * dy, cos * dy - sin * dx
    scaled = np.square(along / radii[0]) + np.square(across / radii[1]) + np.square(dz / radii[2])
    shape: FloatArray = ((np.sqrt(scaled) - 1) * min(radii[:2])).astype(np.float32)
    return shape


def tube(at: Coordinates, start: Sequence[float], end: Sequence[float], radius: float) -> FloatArray:
    """Return a straight tube with round ends between two points (x, y, z); z counts half: slices lie apart."""
    first, direction = np.array(start), np.array(end) - np.array(start)
    offset = [at.x - first[0], at.y - first[1], (at.z - first[2]) / 2]
    direction[2] /= 2
    along = sum(o * d for o, d in zip(offset, direction, strict=True)) / max(float(direction @ direction), 1e-9)
    along = np.clip(along, 0, 1)
    squared = sum(np.square(o - along * d) for o, d in zip(offset, direction, strict=True))
    shape: FloatArray = (np.sqrt(squared) - radius).astype(np.float32)
    return shape


def union(*shapes: FloatArray) -> FloatArray:
    """Return what is inside any of the shapes."""
    combined: FloatArray = np.minimum.reduce(shapes)
    return combined


def intersection(*shapes: FloatArray) -> FloatArray:
    """Return what is inside all of the shapes."""
    combined: FloatArray = np.maximum.reduce(shapes)
    return combined


def without(shape: FloatArray, removed: FloatArray) -> FloatArray:
    """Return what is inside `shape` and not inside `removed`."""
    return intersection(shape, -removed)


def membership(shape: FloatArray, width: float = SHARP) -> FloatArray:
    """Return the shape's share of each voxel: 1 deep inside, 0.5 on the surface, 0 outside, over `width`."""
    share: FloatArray = expit(-shape / np.float32(width))
    return share


def paint(image_hu: FloatArray, shape: FloatArray, value_hu: float, width: float = SHARP) -> None:
    """Mix `value_hu` into the image, in place, by the shape's share of each voxel."""
    image_hu += membership(shape, width) * (np.float32(value_hu) - image_hu)
