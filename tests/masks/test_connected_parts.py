"""Connected parts against a walk from voxel to voxel."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from nnunetv2_dale.masks.boxes import connected_parts, numbered_parts


def grown(mask: NDArray[np.bool_]) -> list[set[tuple[int, ...]]]:
    """Components by walking from voxel to voxel."""
    left = {tuple(place) for place in np.argwhere(mask).tolist()}
    components = []
    while left:
        component, border = set(), [left.pop()]
        while border:
            here = border.pop()
            component.add(here)
            for step in itertools.product((-1, 0, 1), repeat=mask.ndim):
                there = tuple(a + b for a, b in zip(here, step, strict=True))
                if there in left:
                    left.remove(there)
                    border.append(there)
        components.append(component)
    return components


@pytest.mark.parametrize("shape", [(14, 16), (4, 8, 9), (1, 9, 9)])
def test_against_a_walk(shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.12
    expected = grown(mask)
    assert numbered_parts(mask)[1] == len(expected) > 1
    found = []
    for box, part in connected_parts(mask):
        whole = np.zeros(shape, bool)
        whole[box] = part
        found.append({tuple(place) for place in np.argwhere(whole).tolist()})
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


def test_no_part() -> None:
    assert list(connected_parts(np.zeros((2, 3), bool))) == []
