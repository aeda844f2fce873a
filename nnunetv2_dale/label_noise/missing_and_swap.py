"""`missing` and `swap`: whole components that were overlooked or taken for another class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.masks.connected_parts import connected_parts
from nnunetv2_dale.masks.overlap import Mask


def drop_components(label: NDArray[np.int16], probability: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Make each connected component of each class background with `probability`, independently.

    The same generator drops all that a smaller probability drops, and more.
    """
    result = label.copy()
    for _, component in _components(label):
        if rng.random() < probability:
            result[component] = 0
    return result


def swap_components(
    label: NDArray[np.int16], probability: float, rng: np.random.Generator, classes: Sequence[int]
) -> NDArray[np.int16]:
    """Give each connected component of each class another class with `probability`, independently.

    The other classes are equally likely. The foreground as a whole does not change. The same
    generator swaps all that a smaller probability swaps, and more. Fewer than two classes are a `ValueError`.
    """
    if len(classes) < 2:
        raise ValueError(f"swap needs at least two foreground classes, got {list(classes)}")
    result = label.copy()
    for value, component in _components(label):
        draw, other = rng.random(), rng.choice([other for other in classes if other != value])
        if draw < probability:
            result[component] = other
    return result


def _components(label: NDArray[np.int16]) -> Iterator[tuple[int, Mask]]:
    """The class and the mask of every connected part, class by class."""
    for value in np.unique(label[label > 0]).tolist():
        for box, part in connected_parts(label == value):
            mask = np.zeros(label.shape, bool)
            mask[box] = part
            yield value, mask
