"""`shift`: the whole label lies beside the structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shift(
    label: NDArray[np.int16], spacing_mm: tuple[float, float, float], distance_mm: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Move all foreground by `distance_mm` in a random direction.

    The direction is uniform on the sphere, for a single slice on the circle. Each component is rounded at random to
    whole voxels, up with the probability of its fraction, so the expected displacement is exact also below a voxel.
    What leaves the image is lost; what enters is background.
    """
    direction = rng.standard_normal(3)
    rounding = rng.random(3)
    if label.shape[0] == 1:
        direction[0] = 0.0
    direction /= np.linalg.norm(direction)
    offsets = np.floor(distance_mm * direction / np.asarray(spacing_mm) + rounding).astype(int)
    if distance_mm <= 0:
        return label.copy()
    if label.shape[0] == 1:
        offsets[0] = 0
    result = np.zeros_like(label)
    target, source = [], []
    for offset, size in zip(offsets.tolist(), label.shape, strict=True):
        target.append(slice(max(0, offset), max(0, size + min(0, offset))))
        source.append(slice(max(0, -offset), max(0, size - max(0, offset))))
    result[tuple(target)] = label[tuple(source)]
    return result
