"""Components against scipy.ndimage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from nnunetv2_dale.svl_drl import connected_components
from nnunetv2_dale.svl_drl.connected_components import count_components


def by_scipy(masks: torch.Tensor) -> torch.Tensor:
    structure = np.ones((3,) * (masks.ndim - 2))
    counts = [[ndimage.label(mask.numpy(), structure)[1] for mask in sample] for sample in masks]
    return torch.tensor(counts, dtype=torch.float32)


@pytest.mark.parametrize("shape", [(3, 2, 23, 17), (2, 2, 9, 12, 7), (1, 1, 1, 8, 8)])
@pytest.mark.parametrize("density", [0.1, 0.3, 0.5])
def test_counts_are_scipys(shape: tuple[int, ...], density: float, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = torch.rand(shape) < density
    assert torch.equal(count_components(masks), by_scipy(masks))
    monkeypatch.setattr(connected_components, "_VOXELS_AT_ONCE", 1)  # class by class
    assert torch.equal(count_components(masks), by_scipy(masks))


def test_a_snake_a_full_mask_and_an_empty_one() -> None:
    """One component as long as can be, whose ends are far apart."""
    snake = torch.zeros(31, 31, dtype=torch.bool)
    snake[::2] = True
    snake[1::4, -1] = True
    snake[3::4, 0] = True
    masks = torch.stack([snake, torch.ones_like(snake), torch.zeros_like(snake)])[None]
    assert count_components(masks).tolist() == [[1.0, 1.0, 0.0]]
