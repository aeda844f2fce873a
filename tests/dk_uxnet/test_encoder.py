"""The encoder: a block against SciPy, and its sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage, special
from torch import nn

from nnunetv2_dale.dk_uxnet.encoder import ChannelNorm, Stride, UxBlock, UxnetEncoder


def test_a_block_against_scipy() -> None:
    """Each channel correlated with its own 7³ kernel, normed per voxel, widened ×4 and narrowed within the channel."""
    block = UxBlock(2).double()
    nn.init.constant_(block.layer_scale, 0.7)
    features = torch.randn(1, 2, 5, 6, 7, dtype=torch.float64)
    given = features[0].numpy()
    weights = {name: value.detach().numpy() for name, value in block.named_parameters()}

    filtered = np.stack(
        [
            ndimage.correlate(given[c], weights["depthwise.weight"][c, 0], mode="constant")
            + weights["depthwise.bias"][c]
            for c in range(2)
        ]
    )
    centred = filtered - filtered.mean(axis=0)
    normed = centred / np.sqrt((centred**2).mean(axis=0) + 1e-5)
    inner = np.zeros_like(given)
    for c in range(2):
        channel = normed[c] * weights["norm.weight"][c] + weights["norm.bias"][c]
        for wide in range(4 * c, 4 * c + 4):
            value = channel * weights["widen.weight"][wide, 0, 0, 0, 0] + weights["widen.bias"][wide]
            gelu = value * special.ndtr(value)
            inner[c] += gelu * weights["narrow.weight"][c, wide - 4 * c, 0, 0, 0]
        inner[c] += weights["narrow.bias"][c]
    np.testing.assert_allclose(block(features)[0].detach().numpy(), given + 0.7 * inner, rtol=1e-9)


def test_channel_norm_norms_each_voxel_alone() -> None:
    normed = ChannelNorm(8)(torch.randn(2, 8, 2, 3, 4) * 5 + 3)
    torch.testing.assert_close(normed.mean(dim=1), torch.zeros(2, 2, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(dim=1, unbiased=False), torch.ones(2, 2, 3, 4), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("strides", "size", "expected"),
    [
        pytest.param([(2, 2, 2), (2, 2, 2)], (8, 12, 4), [(4, 6, 2), (2, 3, 1)], id="isotropic"),
        pytest.param([(1, 2, 2), (2, 2, 2)], (6, 8, 8), [(6, 4, 4), (3, 2, 2)], id="thick-slices"),
        pytest.param([(2, 2, 2), (1, 2, 2)], (10, 8, 8), [(5, 4, 4), (5, 2, 2)], id="thin-axis-ends-first"),
    ],
)
def test_stages_are_as_fine_as_their_strides_say(strides: list[Stride], size: tuple[int, ...], expected) -> None:
    stages = UxnetEncoder(2, (4, 6), 2, strides)(torch.randn(1, 2, *size))
    assert [stage.shape for stage in stages] == [(1, width, *at) for width, at in zip((4, 6), expected, strict=True)]
