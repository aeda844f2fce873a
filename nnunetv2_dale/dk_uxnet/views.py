"""The strong view of a crop: other intensities, same geometry."""

from __future__ import annotations

import torch
from torch import Tensor


def strong_view(
    images: Tensor, noise: float, contrast: float, generator: torch.Generator, image_channels: int | None = None
) -> Tensor:
    """Each image with another contrast about its own mean, then with Gaussian noise.

    x → mean + c (x − mean) + σ n, with c ~ U(1 − contrast, 1 + contrast) and σ ~ U(0, noise) per sample and channel.

    Args:
        images: (B, C, *S), normalised: a standard deviation of about 1.
        generator: where all draws come from; on the device of the images.
        image_channels: the channels that are image; the others (labels of a stage before) stay. None: all.
    """
    count = images.shape[1] if image_channels is None else image_channels
    image, other = images[:, :count], images[:, count:]
    axes = tuple(range(2, images.ndim))
    one_each = (*image.shape[:2], *(1 for _ in axes))
    factor, spread = torch.rand(2, *one_each, generator=generator, device=images.device, dtype=images.dtype)
    drawn = torch.randn(image.shape, generator=generator, device=images.device, dtype=images.dtype)
    mean = image.mean(dim=axes, keepdim=True)
    changed = mean + (1 + contrast * (2 * factor - 1)) * (image - mean) + noise * spread * drawn
    return torch.cat([changed, other], dim=1)
