"""The convolutional decoder: its levels, and a residual block written out."""

from __future__ import annotations

import torch
from torch.nn import functional

from nnunetv2_dale.dk_uxnet.decoder import ResidualBlock, UxnetDecoder
from nnunetv2_dale.dk_uxnet.encoder import UxnetEncoder


def test_levels_have_the_sizes_of_the_encoder_and_their_own_widths() -> None:
    strides, widths = [(1, 2, 2), (2, 2, 2), (2, 1, 2)], (4, 6, 8)
    images = torch.randn(1, 1, 8, 8, 16)
    levels = UxnetDecoder(1, widths, strides)(images, UxnetEncoder(1, widths, 1, strides)(images))
    assert [level.shape for level in levels] == [(1, 4, 8, 8, 16), (1, 6, 8, 4, 8), (1, 8, 4, 2, 4)]


def test_full_resolution_sees_the_image_and_every_stage() -> None:
    strides, widths = [(2, 2, 2), (2, 2, 2)], (4, 6)
    decoder, encoder = UxnetDecoder(1, widths, strides), UxnetEncoder(1, widths, 1, strides)
    images = torch.randn(1, 1, 8, 8, 8)
    parts = [images, *encoder(images)]
    parts = [part.detach().requires_grad_() for part in parts]
    decoder(parts[0], parts[1:])[0].square().sum().backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in parts)


def test_a_residual_block_written_out() -> None:
    block = ResidualBlock(2, 3)
    features = torch.randn(1, 2, 4, 5, 6)
    first, second = block.convolutions[0], block.convolutions[3]

    def norm(values: torch.Tensor) -> torch.Tensor:
        flat = values.flatten(2)
        centred = flat - flat.mean(dim=2, keepdim=True)
        return (centred / (centred.square().mean(dim=2, keepdim=True) + 1e-5).sqrt()).view_as(values)

    def leaky(values: torch.Tensor) -> torch.Tensor:
        return torch.where(values > 0, values, 0.01 * values)

    inner = leaky(norm(functional.conv3d(features, first.weight, padding=1)))
    inner = norm(functional.conv3d(inner, second.weight, padding=1))
    expected = leaky(inner + norm(functional.conv3d(features, block.shortcut[0].weight)))
    torch.testing.assert_close(block(features), expected, atol=1e-5, rtol=1e-4)
