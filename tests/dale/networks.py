"""Small networks for tests: nnU-Net's own architectures at toy size."""

from __future__ import annotations

from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import Tensor, nn

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss

SCALES = (2 / 3, 1 / 3)  # weights of the two outputs of `small_unet`, in a loss of `two_resolutions`


def small_unet(
    dimensions: int = 2,
    classes: int = 3,
    channels: int = 1,
    deep_supervision: bool = True,
    residual: bool = False,
    features: tuple[int, ...] = (4, 6, 8),
) -> nn.Module:
    """A U-Net of nnU-Net's with three stages, instance norm and leaky ReLU."""
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    norm = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dimensions]
    stages = len(features)
    architecture = ResidualEncoderUNet if residual else PlainConvUNet
    blocks = {"n_blocks_per_stage": 1} if residual else {"n_conv_per_stage": 1}
    return architecture(
        input_channels=channels,
        n_stages=stages,
        features_per_stage=features,
        conv_op=convolution,
        kernel_sizes=3,
        strides=[1] + [2] * (stages - 1),
        **blocks,
        num_classes=classes,
        n_conv_per_stage_decoder=1,
        conv_bias=True,
        norm_op=norm,
        norm_op_kwargs={"affine": True, "eps": 1e-5},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=deep_supervision,
    )


def blob_batch(
    dimensions: int = 2, size: int = 32, batch: int = 2, classes: int = 3, channels: int = 1, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Images with one bright ball per foreground class on noise, and their label maps (B, 1, *S), int16."""
    generator = torch.Generator().manual_seed(seed)
    shape = (size,) * dimensions
    axes = torch.meshgrid(*[torch.arange(size).float()] * dimensions, indexing="ij")
    images = torch.randn(batch, channels, *shape, generator=generator) * 0.3
    labels = torch.zeros(batch, 1, *shape, dtype=torch.int16)
    for sample in range(batch):
        for label in range(1, classes):
            centre = torch.rand(dimensions, generator=generator) * size
            ball = sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)) < (size / 5) ** 2
            images[sample, :, ball] += label
            labels[sample, 0, ball] = label
    return images, labels


def two_resolutions(labels: Tensor) -> list[Tensor]:
    """The targets of both outputs of `small_unet`."""
    return [labels, labels[(..., *[slice(None, None, 2)] * (labels.ndim - 2))]]


def small_batch(dimensions: int = 2, size: int = 16, seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    """Images of `blob_batch`, and their targets."""
    images, labels = blob_batch(dimensions, size, seed=seed)
    return images, two_resolutions(labels)


def step_on(
    network: nn.Module,
    config: DaleConfig,
    loss: MaskedLoss = MaskedLoss(scale_weights=SCALES),  # noqa: B008 -- frozen
    optimizer: torch.optim.Optimizer | None = None,
    **others: Any,
) -> AlternatingStep:
    """Algorithm 1 on a `small_unet`, with plain SGD, and draws that are the same each time."""
    optimizer = optimizer or torch.optim.SGD(network.parameters(), lr=0.01)
    others = {"num_classes": 3, "generator": torch.Generator().manual_seed(0), **others}
    return AlternatingStep(network, network, optimizer, loss, config=config, **others)
