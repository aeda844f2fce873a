"""The masks and the two views that are made of the fuzziness (Eqs. 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs

ViewKind = Literal["masked_input", "masked_loss"]
MaskedValue = Literal["mean", "darkest"]


@dataclass(frozen=True)
class View:
    """What one of the two updates of a batch is trained on (Eq. 7)."""

    images: Tensor  # (B, C, *S)
    label_mask: Tensor | None  # (B, 1, *S) in [0, 1]: probability of the given label; None is 1
    voxel_weight: Tensor | None  # (B, 1, *S) in [0, 1]: weight of the voxel's loss; None is 1


def weighted_loss(
    loss: MaskedLoss, outputs: Outputs, targets: Outputs, view: View, omega: Tensor | None = None
) -> Tensor:
    """L of a view; where ω is given, its voxels are weighted by that as well.

    Args:
        omega: ω, (B, 1, *S).
    """
    voxel_weight = view.voxel_weight
    if omega is not None:
        voxel_weight = omega if voxel_weight is None else voxel_weight * omega
    return loss(outputs, targets, view.label_mask, voxel_weight)


def fuzzy_mask(m: Tensor, tau: float = 0.9) -> Tensor:
    """Return M^f = 1 if m > tau else m (Eq. 6)."""
    return torch.where(m > tau, 1.0, m)


def non_fuzzy_mask(m: Tensor, tau: float = 0.9) -> Tensor:
    """Return M^n = 1 if m < tau else tau - m (Eq. 6): slightly negative in fuzzy patches, as printed."""
    return torch.where(m < tau, 1.0, tau - m)


def view_of(
    images: Tensor, mask: Tensor, kind: ViewKind, image_channels: int | None = None, masked_value: MaskedValue = "mean"
) -> View:
    """Return one view of a batch (Eq. 7).

    `masked_input`, as printed: image and label multiplied by the mask. `masked_loss`: both untouched, the mask
    weights each voxel's loss. A mask that multiplies a label or a loss is clamped at 0. A sample of which a mask leaves
    nothing (a constant m: the whole fuzzy view is 0) teaches nothing in that view: its loss has weight 0.

    Args:
        images: (B, C, *S).
        mask: (B, 1, *S), M^f or M^n.
        image_channels: the first channels that are image; further ones (the previous stage's one-hot segmentation
            of a cascade) are not masked. None: all are image.
        masked_value: what a mask of 0 leaves of an image: 0, which is the mean of a z-scored one; or d, the lowest
            value of the sample's channel: d + M ⊙ (X − d), black, as in images that begin at 0.
    """
    weight = mask.clamp_min(0)
    if kind == "masked_loss":
        return View(images, label_mask=None, voxel_weight=weight)
    shows = weight.amax(dim=tuple(range(1, weight.ndim)), keepdim=True) > 0
    shown = shows.to(weight.dtype).expand_as(weight)
    masked = _masked(images[:, :image_channels], mask, masked_value)
    if masked.shape[1] < images.shape[1]:
        masked = torch.cat([masked, images[:, image_channels:]], dim=1)
    return View(masked, label_mask=weight, voxel_weight=shown)


def _masked(images: Tensor, mask: Tensor, masked_value: MaskedValue) -> Tensor:
    if masked_value == "mean":
        return images * mask
    darkest = images.amin(dim=tuple(range(2, images.ndim)), keepdim=True)
    return darkest + mask * (images - darkest)
