"""Quantiles of the intensities near labels, against NumPy and SciPy, and their moving average by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale.dale import label_intensities
from nnunetv2_dale.dale.label_intensities import LabelIntensities
from tests.dale.networks import blob_batch


def near_edges(labels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Within 3 voxels (Chebyshev) of a voxel whose neighbours hold another label; ignored voxels are no neighbours."""
    near = np.zeros(labels.shape, bool)
    for sample, (label, counted) in enumerate(zip(labels[:, 0], valid[:, 0], strict=True)):
        highest = maximum_filter(np.where(counted, label, -9), 3, mode="nearest")
        lowest = minimum_filter(np.where(counted, label, 99), 3, mode="nearest")
        near[sample, 0] = maximum_filter((highest > lowest) & counted, 7, mode="constant")
    return near


def expected_bounds(images: Tensor, labels: Tensor, valid: Tensor, bins: int) -> Tensor:
    near = near_edges(labels.numpy(), valid.numpy())[:, 0]
    levels = np.arange(1, bins) / bins
    return torch.tensor(
        np.array([np.quantile(channel[near], levels, method="nearest") for channel in images.movedim(1, 0).numpy()])
    )


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("bins", [2, 8, 32])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_they_are_numpys_quantiles_of_the_voxels_near_an_edge(dimensions: int, bins: int, ignored: bool) -> None:
    images, labels = blob_batch(dimensions, 20, batch=3, channels=2, seed=4)
    valid = torch.rand(labels.shape) > 0.2 if ignored else torch.ones_like(labels, dtype=torch.bool)
    found = LabelIntensities(bins).bounds(images, labels, valid if ignored else None)
    assert found.shape == (2, bins - 1)
    assert_close(found, expected_bounds(images, labels, valid, bins))


def test_of_large_patches_every_column_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every 4th voxel of rows of 8 would lie in one of two columns; the label is in none of those."""
    monkeypatch.setattr(label_intensities, "_MOST_VOXELS", 128)
    images, labels = torch.arange(8.0).expand(2, 1, 4, 8, 8), torch.zeros(2, 1, 4, 8, 8, dtype=torch.int16)
    labels[..., 5:7] = 1
    monkeypatch.setattr(label_intensities, "NEAR", 0)
    found = LabelIntensities(5).bounds(images, labels)  # near its edges: columns 4 to 7
    assert_close(found, torch.tensor([[4.0, 5.0, 6.0, 7.0]]), atol=1.0, rtol=0)
    assert len(found.unique()) > 2


def test_regions_have_edges_too() -> None:
    images, labels = blob_batch(2, 20, seed=4)
    regions = torch.cat([labels > 0, labels == 2], dim=1)
    valid = torch.ones_like(labels, dtype=torch.bool)
    assert_close(LabelIntensities(8).bounds(images, regions), expected_bounds(images, labels, valid, 8))


def edge_batch(values: list[float], label: bool = True) -> tuple[Tensor, Tensor]:
    """A row of voxels with those values, all of them near the edge of a label, or without one."""
    images = torch.tensor(values).view(1, 1, 1, -1)
    labels = torch.zeros(1, 1, 1, len(values), dtype=torch.int16)
    labels[..., len(values) // 2 :] = int(label)
    return images, labels


def test_the_moving_average_by_hand() -> None:
    """Two bins have one bound, the median; batches weigh as many voxels as they have near edges, the old ones fade."""
    intensities = LabelIntensities(2)
    assert intensities.bounds(*edge_batch([1.0, 2.0, 9.0])).item() == 2
    second = intensities.bounds(*edge_batch([5.0, 6.0, 6.0, 8.0, 9.0])).item()
    assert second == pytest.approx((2 * 0.9 * 3 + 6 * 5) / (0.9 * 3 + 5))
    third = intensities.bounds(*edge_batch([1.0, 1.0, 1.0, 1.0, 1.0])).item()
    weight = 0.9 * (0.9 * 3 + 5)
    assert third == pytest.approx((second * weight + 1 * 5) / (weight + 5))
    intensities.forget()
    assert intensities.bounds(*edge_batch([4.0, 4.0, 4.0])).item() == 4


def test_a_batch_without_labels_changes_nothing() -> None:
    intensities = LabelIntensities(2)
    before = intensities.bounds(*edge_batch([1.0, 2.0, 9.0])).item()
    assert intensities.bounds(*edge_batch([50.0, 60.0, 70.0], label=False)).item() == before
    # but what came before fades meanwhile, as in any batch
    assert intensities.bounds(*edge_batch([5.0, 6.0, 7.0])).item() == pytest.approx(
        (2 * 0.81 * 3 + 6 * 3) / (0.81 * 3 + 3)
    )


def test_a_first_batch_without_labels_lends_all_its_voxels_until_there_are_some() -> None:
    intensities = LabelIntensities(2)
    assert intensities.bounds(*edge_batch([50.0, 60.0, 70.0], label=False)).item() == 60
    assert intensities.bounds(*edge_batch([1.0, 2.0, 9.0])).item() == pytest.approx(2, abs=0.02)


def test_a_constant_image_has_equal_bounds() -> None:
    images, labels = blob_batch(2, 20)
    found = LabelIntensities(32).bounds(torch.full_like(images, 3.5), labels)
    assert_close(found, torch.full((1, 31), 3.5))


def test_many_voxels_are_sampled_evenly() -> None:
    """Of more than 2¹⁶ voxels every n-th is enough: the quantiles stay those of the distribution."""
    images = torch.randn(2, 1, 300, 301)
    labels = (torch.arange(300).view(1, 1, 300, 1).expand(2, 1, 300, 301) // 3 % 2).to(torch.int16)  # edges all over
    found = LabelIntensities(4).bounds(images, labels)
    assert_close(found, torch.tensor([[-0.6745, 0.0, 0.6745]]), atol=0.02, rtol=0)
