"""The tap on the segmentation head: what it keeps, and which networks it refuses."""

from __future__ import annotations

import copy
import weakref

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from nnunetv2_dale.dale.feature_tap import FeatureTap, segmentation_head
from tests.dale.networks import small_unet


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_forward_gives_what_enters_the_full_resolution_head(dimensions):
    network, images = small_unet(dimensions), torch.randn(1, 1, *[16] * dimensions)
    see = FeatureTap(network, network, segmentation_head(network))
    outputs, features = see(images)
    assert_close(network.decoder.seg_layers[-1].forward(features), outputs[0])
    assert features.requires_grad
    assert_close(outputs, network(images))


def test_nothing_is_kept_beyond_the_forward_or_in_a_validation():
    network, images = small_unet(), torch.randn(1, 1, 16, 16)
    see = FeatureTap(network, network, segmentation_head(network))
    kept = weakref.ref(see(images)[1])
    assert kept() is None
    network.eval()(images)
    with pytest.raises(RuntimeError, match="has not run"):
        see(images)
    network.train()
    see.remove()
    assert see(images)[1] is None
    assert not segmentation_head(network)._forward_pre_hooks


def test_without_a_head_there_are_logits_alone():
    network = nn.Conv2d(1, 2, 1)
    outputs, features = FeatureTap(network, network, None)(torch.ones(1, 1, 4, 4))
    assert outputs.shape == (1, 2, 4, 4)
    assert features is None


def test_a_copy_of_the_network_copies_nothing_of_what_runs_it():
    network = small_unet()
    see = FeatureTap(network, network, segmentation_head(network), autocast=torch.Generator)  # which cannot be copied
    assert copy.deepcopy(network) is not network
    see.remove()


def test_a_network_without_the_head_is_named_with_the_modules_that_could_be_meant():
    network = nn.Sequential(*(nn.Conv2d(n, n + 1, 1) for n in range(1, 8)))
    with pytest.raises(ValueError, match=r"decoder\.seg_layers\[-1\] in Sequential, which has none") as raised:
        segmentation_head(network)
    assert "6 (7 to 8 channels)" in str(raised.value)
    assert "1 (2 to 3 channels)" not in str(raised.value)  # the last five only
    assert str(raised.value).count(".") == 1  # one sentence: the point is that of decoder.seg_layers


def test_a_network_without_convolutions_has_none_to_propose():
    with pytest.raises(ValueError, match="no 2D or 3D convolution"):
        segmentation_head(nn.Sequential(nn.Linear(1, 1)))


def test_a_head_of_another_network_is_refused():
    network = nn.Sequential(nn.Conv3d(1, 2, 1))
    with pytest.raises(ValueError, match=r"does not hold the Conv2d given; .*: 0 \(1 to 2 channels\)"):
        FeatureTap(network, network, nn.Conv2d(1, 1, 1))


@pytest.mark.parametrize(("place", "found"), [(2, r"Linear given is of shape \(2, 3, 16\)"), (3, "given is list")])
def test_a_head_that_gets_no_images_is_refused(place: int, found: str):
    class Unpacked(nn.Module):
        def forward(self, features: list[Tensor]) -> Tensor:
            return features[0]

    class Listed(nn.Module):
        def forward(self, features: Tensor) -> list[Tensor]:
            return [features]

    tokens = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(2), nn.Linear(16, 5))
    listed = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Identity(), Listed(), Unpacked())
    network = tokens if place == 2 else listed
    FeatureTap(network, network, network[place])
    with pytest.raises(ValueError, match=found) as raised:
        network(torch.randn(2, 1, 4, 4))
    assert "modules that could be meant: 0 (1 to 3 channels)" in str(raised.value)
