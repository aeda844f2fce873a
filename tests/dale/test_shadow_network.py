"""The copy of the network: its own weights, the network's buffers."""

from __future__ import annotations

import torch
from torch import nn
from torch.testing import assert_close

from nnunetv2_dale.dale.shadow_network import ShadowNetwork, allow_two_backwards_through_compiled_networks


def test_shadow_keeps_frozen_weights_and_follows_buffers():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    network[0].weight.requires_grad_(False)
    shadow = ShadowNetwork(network)
    assert len(shadow.weights) == 3
    network[1].running_mean.fill_(5)
    trained = [p for p in network.parameters() if p.requires_grad]
    shadow.place(trained, [torch.ones_like(p) for p in trained], 2.0)
    assert_close(shadow.module[1].running_mean, torch.full((2,), 5.0))
    assert_close(shadow.module[1].weight, network[1].weight + 2)
    assert_close(shadow.module[0].weight, network[0].weight)


class ConvolutionWithHead(nn.Module):
    """Two convolutions, of which the second is hooked."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


def test_a_network_compiled_after_another_training_keeps_its_features():
    """In one process, as in a notebook: the first network's graph knows no hook and would serve the second."""
    images = torch.ones(1, 1, 2, 2)
    torch.compile(ConvolutionWithHead(), backend="aot_eager")(images).sum().backward()
    allow_two_backwards_through_compiled_networks()
    network, kept = ConvolutionWithHead(), []
    network.head.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    torch.compile(network, backend="aot_eager")(images)
    assert len(kept) == 1
