"""Outputs, targets and weights under deep supervision: one resolution, or several with the full one first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from torch import Tensor
from torch.nn import functional

from nnunetv2_dale.dale.marginal_loss import Outputs


def full_resolution(outputs: Outputs) -> Tensor:
    """The first of the outputs, or targets, of all resolutions."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def all_resolutions(outputs: Outputs) -> Sequence[Tensor]:
    """The outputs of all resolutions, of one where a network has no others."""
    return [outputs] if isinstance(outputs, Tensor) else outputs


@overload
def resized(weight: Tensor, logits: Tensor) -> Tensor: ...
@overload
def resized(weight: Tensor | None, logits: Tensor) -> Tensor | None: ...
def resized(weight: Tensor | None, logits: Tensor) -> Tensor | None:
    """A (B, 1, *S) map at the resolution of `logits`: each coarse voxel gets the mean of what it covers."""
    if weight is None or weight.shape[2:] == logits.shape[2:]:
        return weight
    return functional.interpolate(weight, size=logits.shape[2:], mode="area")
