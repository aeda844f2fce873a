"""Losses of single voxels, images and classes, which the rivals weigh each in its way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dale.dale.marginal_loss import Outputs, class_weight_of, like, marginal_logits
from nnunetv2_dale.dale.masked_loss import MaskedLoss, full_resolution

_SMOOTH = 1e-5  # nnU-Net's


def voxel_cross_entropy(logits: Tensor, targets: Outputs, form: MaskedLoss) -> Tensor:
    """Cross-entropy of every voxel (label maps), or mean binary cross-entropy over the regions; 0 where ignored.

    Args:
        logits: (B, K, *S).
        targets: in nnU-Net's form, full resolution first; with `KnownTargets` only what is annotated counts.
        form: tells label maps from regions, and what is ignored.
    Returns:
        (B, 1, *S) float32.
    """
    class_weight, target = class_weight_of(targets), full_resolution(targets)
    labels, valid = form.labels(target), form.valid(target)
    logits = marginal_logits(logits.float(), class_weight, form.regions)
    if form.regions:
        each = functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none")
        losses = each.mean(dim=1, keepdim=True)
        if class_weight is not None:
            share = (class_weight > 0).float().mean(dim=1).clamp_min(torch.finfo(torch.float32).eps)
            losses = losses / like(share, losses)
    else:
        losses = functional.cross_entropy(logits, labels[:, 0].long(), reduction="none")[:, None]
    return losses if valid is None else losses * valid


def dice_losses(probabilities: Tensor, target: Tensor, form: MaskedLoss, voxel_weight: Tensor | None = None) -> Tensor:
    """1 − soft Dice of each image and class (background too), or region.

    Args:
        probabilities: (B, K, *S); of 0 and 1 they give the hard Dice.
        target: of the same resolution.
        form: see `voxel_cross_entropy`.
        voxel_weight: (B, 1, *S); None is 1.
    Returns:
        (B, K) in [0, 1]; a class that is neither there nor predicted has 0.
    """
    labels, valid = form.labels(target), form.valid(target)
    if form.regions:
        reference = labels.to(probabilities.dtype)
    else:
        reference = torch.zeros_like(probabilities).scatter_(1, labels.long(), 1)
    overlap = probabilities * reference
    for weight in (valid, voxel_weight):
        if weight is not None:
            probabilities, reference, overlap = probabilities * weight, reference * weight, overlap * weight
    overlap = overlap.flatten(2).sum(dim=2)
    total = probabilities.flatten(2).sum(dim=2) + reference.flatten(2).sum(dim=2)
    return 1 - (2 * overlap + _SMOOTH) / (total + _SMOOTH)
