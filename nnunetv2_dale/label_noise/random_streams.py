"""Randomness that depends on the seed and the case's name only, not on the order of cases or on processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

_LATTICE_VOXELS = 4


def case_generator(seed: int, case: str, purpose: str) -> np.random.Generator:
    """Return a generator of its own for each seed, case and purpose, such as "selection"."""
    digest = hashlib.sha256(f"{purpose}\0{case}".encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype="<u4").tolist()])


def smooth_uniform(
    shape: Sequence[int], window: Sequence[slice], spacing_mm: Sequence[float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a random field that is uniform on [0, 1) at every voxel and changes smoothly from voxel to voxel.

    Normal numbers on a lattice of 4 of the finest voxels are interpolated linearly; z = sum w g has variance sum w^2,
    so Phi(z / sqrt(sum w^2)) is uniform. The lattice covers the image: a voxel's value does not depend on the window.
    """
    finest = min(spacing_mm)
    steps = [max(1, round(_LATTICE_VOXELS * finest / spacing)) for spacing in spacing_mm]
    values = rng.standard_normal([(size - 1) // step + 2 for size, step in zip(shape, steps, strict=True)])
    variance = np.ones((1, 1, 1))
    for axis, (part, step) in enumerate(zip(window, steps, strict=True)):
        cell, offset = np.divmod(np.arange(part.start, part.stop), step)
        weight = (offset / step).reshape([-1 if other == axis else 1 for other in range(3)])
        values = values.take(cell, axis) * (1 - weight) + values.take(cell + 1, axis) * weight
        variance = variance * ((1 - weight) ** 2 + weight**2)
    uniform: NDArray[np.float64] = np.minimum(ndtr(values / np.sqrt(variance)), np.nextafter(1.0, 0.0))
    return uniform
