"""Losses of single voxels, images and classes, which the rivals weigh each in its way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dale.dale.masked_loss import MaskedLoss

_SMOOTH = 1e-5  # nnU-Net's


def voxel_cross_entropy(logits: Tensor, target: Tensor, form: MaskedLoss) -> Tensor:
    """Cross-entropy of every voxel (label maps), or mean binary cross-entropy over the regions; 0 where ignored.

    Args:
        logits: (B, K, *S).
        target: in nnU-Net's form.
        form: tells label maps from regions, and what is ignored.
    Returns:
        (B, 1, *S) float32.
    """
    labels, valid = form.labels(target), form.valid(target)
    if form.regions:
        each = functional.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
        losses = each.mean(dim=1, keepdim=True)
    else:
        losses = functional.cross_entropy(logits.float(), labels[:, 0].long(), reduction="none")[:, None]
    return losses if valid is None else losses * valid


def dice_losses(probabilities: Tensor, target: Tensor, form: MaskedLoss) -> Tensor:
    """1 − soft Dice of each image and class (background too), or region.

    Args:
        probabilities: (B, K, *S); of 0 and 1 they give the hard Dice.
        target, form: see `voxel_cross_entropy`.
    Returns:
        (B, K) in [0, 1]; a class that is neither there nor predicted has 0.
    """
    labels, valid = form.labels(target), form.valid(target)
    if form.regions:
        reference = labels.to(probabilities.dtype)
    else:
        reference = torch.zeros_like(probabilities).scatter_(1, labels.long(), 1)
    if valid is not None:
        probabilities, reference = probabilities * valid, reference * valid
    overlap = (probabilities * reference).flatten(2).sum(dim=2)
    total = probabilities.flatten(2).sum(dim=2) + reference.flatten(2).sum(dim=2)
    return 1 - (2 * overlap + _SMOOTH) / (total + _SMOOTH)
