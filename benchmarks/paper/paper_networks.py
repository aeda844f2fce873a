"""Networks by others (MONAI), none of their lines changed, and the module of each whose input DALE aligns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from monai.networks.nets import UNETR, AttentionUnet, BasicUNet, BasicUNetPlusPlus, SegResNet, SwinUNETR
from torch import nn


@dataclass(frozen=True)
class PaperNetwork:
    """How a network is built from the number of channels, classes and pixels, and the name of its head."""

    build: Callable[[int, int, int], nn.Module]
    head: str  # the module that turns the last features into logits

    def make(self, channels: int, classes: int, size: int, seed: int) -> tuple[nn.Module, nn.Module]:
        """The network with the first weights of a seed, and its head."""
        torch.manual_seed(seed)
        network = self.build(channels, classes, size)
        return network, network.get_submodule(self.head)


def _basic(channels: int, classes: int, size: int, widths: Sequence[int] = (8, 8, 16, 32, 64, 8)) -> nn.Module:
    return BasicUNet(2, channels, classes, features=widths)


NETWORKS = {
    "U-Net (BasicUNet)": PaperNetwork(_basic, "final_conv"),
    "Attention U-Net": PaperNetwork(
        lambda channels, classes, size: AttentionUnet(2, channels, classes, (8, 16, 32, 64), (2, 2, 2)), "model.2"
    ),
    "UNet++ (BasicUNetPlusPlus)": PaperNetwork(
        lambda channels, classes, size: BasicUNetPlusPlus(2, channels, classes, features=(8, 8, 16, 32, 64, 8)),
        "final_conv_0_4",
    ),
    "SwinUNETR": PaperNetwork(
        lambda channels, classes, size: SwinUNETR(channels, classes, feature_size=12, spatial_dims=2, window_size=4),
        "out",
    ),
    "SegResNet": PaperNetwork(
        lambda channels, classes, size: SegResNet(2, 8, channels, classes, blocks_down=(1, 2, 2), blocks_up=(1, 1)),
        "conv_final.2",
    ),
    "UNETR": PaperNetwork(
        lambda channels, classes, size: UNETR(
            channels, classes, (size, size), feature_size=8, hidden_size=48, mlp_dim=96, num_heads=4, spatial_dims=2
        ),
        "out",
    ),
}
