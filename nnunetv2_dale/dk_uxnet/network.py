"""The network: 3D UX-Net with a convolutional and a k-means decoder, for any strides that nnU-Net plans."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig
from nnunetv2_dale.dk_uxnet.decoder import ResidualBlock, UxnetDecoder
from nnunetv2_dale.dk_uxnet.encoder import Stride, UxnetEncoder
from nnunetv2_dale.dk_uxnet.losses import Outputs
from nnunetv2_dale.dk_uxnet.query_decoder import QUERY_LEVELS, QueryDecoder
from nnunetv2_dale.dk_uxnet.query_maps import query_logits


class DkUxnet(nn.Module):
    """DK-UXNet for images of three dimensions.

    Args:
        in_channels: of the image.
        num_classes: background and the foreground classes.
        strides: of the levels against the one before, per axis, without the first level; from the plans. One stage
            is built for each stride, at most `config.stages`.
    Raises:
        ValueError: not three axes, fewer than two strides, or fewer queries than classes.
    """

    def __init__(
        self, in_channels: int, num_classes: int, strides: Sequence[Sequence[int]], config: DkUxnetConfig
    ) -> None:
        super().__init__()
        stages = min(len(strides), config.stages)
        if stages < QUERY_LEVELS or any(len(stride) != 3 for stride in strides):
            raise ValueError(f"expected at least {QUERY_LEVELS} strides of three axes, got {list(map(list, strides))}")
        widths = config.widths[:stages]
        per_axis: list[Stride] = [(z, y, x) for z, y, x in strides[:stages]]
        self.multiple = tuple(math.prod(along) for along in zip(*per_axis, strict=True))
        self.encoder = UxnetEncoder(in_channels, widths, config.blocks, per_axis)
        self.decoder = UxnetDecoder(in_channels, widths, per_axis)
        self.segmentation = nn.Sequential(
            ResidualBlock(widths[0], widths[0]), nn.Conv3d(widths[0], num_classes, kernel_size=1)
        )
        self.queries = QueryDecoder(widths, num_classes, 3, config)
        self.query_share: Tensor  # of the query segmentation in the prediction
        self.register_buffer("query_share", torch.zeros(()))

    def forward(self, images: Tensor, every_output: bool = False) -> Tensor | Outputs:
        """Predict logits: log((1 − w) softmax(convolution) + w softmax(query)), w the `query_share`.

        w is 0 until the trainer has found that the query segmentation is as good as the other.

        Args:
            images: (B, C, *S) of any size. Where an axis is no multiple of its strides, zeros are added at its end and
                cut off again.
            every_output: return what the losses need instead; then nothing may have to be added.
        Raises:
            ValueError: every output of a size that is no multiple of the strides.
        """
        missing = [-length % multiple for length, multiple in zip(images.shape[2:], self.multiple, strict=True)]
        if every_output:
            if any(missing):
                raise ValueError(
                    f"expected training crops in multiples of {list(self.multiple)} voxels, got "
                    f"{list(images.shape[2:])}; change the patch_size in the plans"
                )
            return self._outputs(images)
        padded = functional.pad(images, [end for added in reversed(missing) for end in (0, added)])
        outputs = self._outputs(padded)
        depth, height, width = images.shape[2:]
        inside = (..., slice(depth), slice(height), slice(width))
        convolution = outputs.convolution_logits[0][inside]
        if not self.query_share:
            return convolution
        query = query_logits(outputs.queries)[inside].log_softmax(dim=1)
        without, with_it = torch.stack([1 - self.query_share, self.query_share]).log()
        mixed = torch.logaddexp(convolution.to(query.dtype).log_softmax(dim=1) + without, query + with_it)
        return mixed.to(convolution.dtype)

    def _outputs(self, images: Tensor) -> Outputs:
        levels = self.decoder(images, self.encoder(images))
        queries, assignments = self.queries(levels)
        return Outputs([self.segmentation(levels[0])], queries, assignments)
