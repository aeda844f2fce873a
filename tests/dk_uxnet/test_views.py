"""The strong view: what it changes, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nnunetv2_dale.dk_uxnet.views import strong_view


def view(images: Tensor, noise: float = 0.0, contrast: float = 0.0, seed: int = 0, **others: int) -> Tensor:
    return strong_view(images, noise, contrast, torch.Generator().manual_seed(seed), **others)


def test_without_noise_and_contrast_it_is_the_image() -> None:
    images = torch.randn(2, 1, 4, 5, 6)
    torch.testing.assert_close(view(images), images)


def test_contrast_scales_about_the_mean_of_each_sample_and_channel() -> None:
    images = torch.randn(3, 2, 4, 5, 6) + 7
    changed = view(images, contrast=0.5)
    torch.testing.assert_close(changed.mean(dim=(2, 3, 4)), images.mean(dim=(2, 3, 4)))
    factors = changed.std(dim=(2, 3, 4)) / images.std(dim=(2, 3, 4))
    assert ((factors >= 0.5) & (factors <= 1.5)).all()
    assert factors.flatten().unique().numel() == 6
    centred, before = (x - x.mean(dim=(2, 3, 4), keepdim=True) for x in (changed, images))
    torch.testing.assert_close(centred, before * factors[..., None, None, None], rtol=1e-3, atol=1e-4)


def test_noise_is_gaussian_and_no_larger_than_asked_for() -> None:
    images = torch.zeros(8, 1, 20, 20, 20)
    spread = view(images, noise=0.2).std(dim=(1, 2, 3, 4))
    assert (spread < 0.205).all()
    assert spread.max() > 2 * spread.min()
    normed = view(images, noise=0.2)[0] / spread[0]
    assert normed.pow(4).mean().item() == pytest.approx(3, abs=0.3)  # the kurtosis of a Gaussian


def test_channels_of_the_stage_before_stay() -> None:
    images = torch.randn(2, 3, 4, 4, 4)
    changed = view(images, noise=1.0, contrast=0.5, image_channels=1)
    assert torch.equal(changed[:, 1:], images[:, 1:])
    assert not torch.isclose(changed[:, :1], images[:, :1]).all()


def test_the_generator_decides() -> None:
    images = torch.randn(2, 1, 4, 4, 4)
    first, again, other = (view(images, noise=0.2, contrast=0.5, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
