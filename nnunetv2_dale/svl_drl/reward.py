"""What an edit of the image was worth: the gain in Dice, less the price of a torn or rough segmentation.

    r_t = Dice(f_t, G) − Dice(f_{t−1}, G) − w · C(f_t)

The paper's summaries add C, which rewards fragments: here it is subtracted, and a negative w is the printed sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nnunetv2_dale.svl_drl.connected_components import count_components

_SMOOTH = 1e-5  # nnU-Net's, so that a class that is nowhere has Dice 1


@dataclass(frozen=True)
class Reference:
    """The labels of a batch, as the reward reads them."""

    foreground: Tensor  # (B, K, *S) bool: foreground classes, or regions; False where ignored
    valid: Tensor | None  # (B, 1, *S) bool, False where ignored; None is all
    components: Tensor  # (B, K) of `foreground`

    @classmethod
    def of(cls, foreground: Tensor, valid: Tensor | None) -> Reference:
        """The reference of (B, K, *S) bool foreground."""
        foreground = foreground if valid is None else foreground & valid
        return cls(foreground, valid, count_components(foreground))


def soft_dice(probabilities: Tensor, reference: Reference) -> Tensor:
    """Mean soft Dice over the foreground classes, of each volume.

    Args:
        probabilities: (B, K, *S) of the foreground classes.
    Returns:
        (B,) in [0, 1].
    """
    given = probabilities if reference.valid is None else probabilities * reference.valid
    overlap = (given * reference.foreground).flatten(2).sum(dim=2)
    total = given.flatten(2).sum(dim=2) + reference.foreground.flatten(2).sum(dim=2)
    return ((2 * overlap + _SMOOTH) / (total + _SMOOTH)).mean(dim=1)


def total_variation(probabilities: Tensor) -> Tensor:
    """Mean |∇f|: absolute differences of neighbours, over all axes, pairs and classes of a volume.

    Args:
        probabilities: (B, K, *S), every axis of at least 2 voxels.
    Returns:
        (B,) in [0, 1].
    """
    axes = range(2, probabilities.ndim)
    each = [probabilities.diff(dim=axis).abs().flatten(1).mean(dim=1) for axis in axes if probabilities.shape[axis] > 1]
    return torch.stack(each).mean(dim=0)


def fragmentation(masks: Tensor, reference: Reference) -> Tensor:
    """1 − reference components / components where there are more than in the reference, mean over a volume's classes.

    A class without reference counts as one of one component. Fewer components than the reference cost nothing. (The
    bare number less one is unbounded: an untrained network's hundreds of fragments would drown the Dice.)

    Args:
        masks: (B, K, *S) bool, the predicted foreground.
    Returns:
        (B,) in [0, 1).
    """
    predicted = masks if reference.valid is None else masks & reference.valid
    wanted = reference.components.clamp_min(1)
    return (1 - wanted / torch.maximum(count_components(predicted), wanted)).mean(dim=1)


def continuity_cost(probabilities: Tensor, masks: Tensor, reference: Reference) -> Tensor:
    """C(f): fragmentation plus total variation of each volume, (B,)."""
    return fragmentation(masks, reference) + total_variation(probabilities)


def squared_error(probabilities: Tensor, reference: Reference) -> Tensor:
    """(f − G)², mean over the classes of each voxel: (B, 1, *S), 0 where ignored."""
    error = (probabilities - reference.foreground.to(probabilities.dtype)).square().mean(dim=1, keepdim=True)
    return error if reference.valid is None else error * reference.valid
