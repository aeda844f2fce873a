"""The copy of the network: its own weights, the network's buffers."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from nnunetv2_dale.dale.shadow_network import ShadowNetwork


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
