"""The network: sizes for whatever nnU-Net plans, and what it predicts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig
from nnunetv2_dale.dk_uxnet.network import DkUxnet
from nnunetv2_dale.dk_uxnet.query_maps import query_logits
from tests.dk_uxnet.fixtures import STRIDES, TINY, tiny_network

FOUR_STAGES = replace(TINY, width=2, stages=4)
# patch sizes and strides as nnU-Net plans them, at a half or a quarter of their size in the plane
PLANNED = [
    pytest.param((28, 64, 64), [(1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2)], id="28x256x256"),
    pytest.param((40, 56, 40), [(2, 2, 2), (2, 2, 2), (2, 2, 2)], id="40x56x40"),
    pytest.param((20, 80, 64), [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)], id="20x320x256"),
    pytest.param((8, 32, 32), [(1, 2, 2), (2, 2, 2)], id="two-poolings"),
]


@pytest.mark.parametrize(("patch", "strides"), PLANNED)
def test_trains_on_whatever_patch_nnunet_plans(patch: tuple[int, ...], strides: list[tuple[int, ...]]) -> None:
    network = DkUxnet(1, 3, strides, FOUR_STAGES)
    outputs = network(torch.randn(1, 1, *patch), every_output=True)
    assert outputs.convolution_logits[0].shape == (1, 3, *patch)
    assert outputs.queries.features.shape == (1, 2, *patch)
    stages = min(4, len(strides))
    levels = [
        tuple(length // product(stride[axis] for stride in strides[:depth]) for axis, length in enumerate(patch))
        for depth in (stages - 1, stages - 1, stages - 2, stages - 2)  # two layers on each of the coarsest levels
    ]
    assert [each.shape for each in outputs.assignments] == [(1, 6, *level) for level in levels]


def product(values: object) -> int:
    total = 1
    for value in values:  # type: ignore[attr-defined]
        total *= value
    return total


@pytest.mark.parametrize("size", [(4, 8, 8), (5, 9, 11), (3, 8, 7), (13, 21, 6)])
@torch.no_grad()
def test_predicts_images_of_any_size(size: tuple[int, int, int]) -> None:
    network = tiny_network().eval()
    logits = network(torch.randn(2, 1, *size))
    assert logits.shape == (2, 3, *size)
    network.query_share.fill_(0.5)
    torch.testing.assert_close(network(torch.randn(2, 1, *size)).exp().sum(dim=1), torch.ones(2, *size))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_predicts_the_mean_of_both_decoders_by_their_shares(share: float) -> None:
    network = tiny_network()
    images = torch.randn(1, 1, 4, 8, 8)
    outputs = network(images, every_output=True)
    convolution = outputs.convolution_logits[0].softmax(dim=1)
    queries = query_logits(outputs.queries).softmax(dim=1)
    network.query_share.fill_(share)
    torch.testing.assert_close(network(images).softmax(dim=1), (1 - share) * convolution + share * queries)


def test_a_network_that_has_not_been_trained_predicts_by_its_convolutions_alone() -> None:
    network = tiny_network()
    images = torch.randn(1, 1, 4, 8, 8)
    assert torch.equal(network(images), network(images, every_output=True).convolution_logits[0])


def test_a_training_crop_that_does_not_fit_the_strides_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of \[2, 4, 4\] voxels, got \[4, 8, 6\]; change the patch_size"):
        tiny_network()(torch.randn(1, 1, 4, 8, 6), every_output=True)


@pytest.mark.parametrize(
    ("strides", "classes", "sentence"),
    [
        ([(2, 2, 2)], 3, "at least 2 strides of three axes"),
        ([(2, 2), (2, 2)], 3, "at least 2 strides of three axes"),
        (STRIDES, 7, "query_count 6; raise query_count"),
    ],
)
def test_refused(strides: list[tuple[int, ...]], classes: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DkUxnet(1, classes, strides, TINY)


def test_the_default_network_has_the_size_that_the_documentation_says() -> None:
    with torch.device("meta"):
        network = DkUxnet(1, 2, [(2, 2, 2)] * 5, DkUxnetConfig())
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 1) == 59.8
