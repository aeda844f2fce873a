"""What an edit of the image was worth: the gain in Dice, less the price of a torn or rough segmentation.

    r_t = Dice(f_t, G) − Dice(f_{t−1}, G) − w · C(f_t)

The paper's summaries add C, which rewards fragments: here it is subtracted, and a negative w is the printed sign.

r_t is of a whole volume. Given to each of its N voxels, it teaches none what its own action was worth: the gradient
falls with 1 / N. So a voxel is given what its own edit changed (`edit_shares`), or what changed at it (`dice_shares`),
to which the edits of all its neighbours add noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nnunetv2_dale.dale.marginal_loss import like
from nnunetv2_dale.svl_drl.config import RewardKind
from nnunetv2_dale.svl_drl.connected_components import count_components

_SMOOTH = 1e-5  # nnU-Net's, so that a class that is nowhere has Dice 1


@dataclass(frozen=True)
class Reference:
    """The labels of a batch, as the reward reads them."""

    foreground: Tensor  # (B, K, *S) bool: foreground classes, or regions; False where ignored
    valid: Tensor | None = None  # (B, 1, *S) bool, False where ignored; None is all
    regions: bool = False  # they may overlap

    @cached_property
    def components(self) -> Tensor:
        """(B, K) of `foreground`."""
        return count_components(self.foreground)

    @classmethod
    def of(cls, foreground: Tensor, valid: Tensor | None, regions: bool = False) -> Reference:
        """Return the reference of (B, K, *S) bool foreground."""
        return cls(foreground if valid is None else foreground & valid, valid, regions)


def reward_of(
    before: Tensor, after: Tensor, reference: Reference, kind: RewardKind, continuity_weight: float
) -> tuple[Tensor, Tensor]:
    """Return the two parts of r_t, each broadcastable to (B, 1, *S): what was gained, and −w C.

    Args:
        before: (B, K, *S) probabilities of the foreground classes at t − 1.
        after: at t.
        kind: "share": of each voxel; the number of components has no shares and is left out. "volume": of the volume.
            "voxel": the fall of each voxel's own squared error, without C. "edit" needs the images: `edit_shares`.
    """
    if kind == "voxel":
        gain = squared_error(before, reference) - squared_error(after, reference)
        return gain, torch.zeros_like(gain)
    if kind == "share":
        return dice_shares(before, after, reference), -continuity_weight * total_variation_shares(after)
    gain = soft_dice(after, reference) - soft_dice(before, reference)
    cost = -continuity_weight * continuity_cost(after, _masks(after, reference), reference)
    return like(gain, after), like(cost, after)


def edit_slopes(probabilities: Tensor, images: Tensor, reference: Reference, continuity_weight: float) -> Tensor:
    """N · ∂(Dice − w · TV)/∂s: what an edit of each voxel of the images is worth, (B, C, *S).

    Args:
        probabilities: (B, K, *S) of the foreground classes, with the graph that leads to `images`.
    """
    worth = soft_dice(probabilities, reference) - continuity_weight * total_variation(probabilities)
    (slopes,) = torch.autograd.grad(probabilities[0, 0].numel() * worth.sum(), images)
    return slopes


def edit_shares(before: Tensor, after: Tensor, slopes: tuple[Tensor, Tensor]) -> Tensor:
    """(B, 1, *S): each voxel's edit times its mean slope; their mean is what all edits changed, to second order.

    Args:
        before, after: (B, C, *S) images.
        slopes: `edit_slopes` of either.
    """
    return ((slopes[0] + slopes[1]) / 2 * (after - before)).sum(dim=1, keepdim=True)


def soft_dice(probabilities: Tensor, reference: Reference) -> Tensor:
    """Return mean soft Dice over the foreground classes, of each volume.

    Args:
        probabilities: (B, K, *S) of the foreground classes.
    Returns:
        (B,) in [0, 1].
    """
    dice, _ = _dice_and_total(probabilities, reference)
    return dice.mean(dim=1)


def dice_shares(before: Tensor, after: Tensor, reference: Reference) -> Tensor:
    """Return g_v = N · Σ_k ∂Dice/∂f_vk · (after − before)_vk: each voxel's share of the gain in Dice.

    The derivative is that at the mean of both, so that the mean of g over the N voxels of a volume is the gain to
    second order in the change.

    Args:
        before: (B, K, *S) probabilities of the foreground classes.
        after: likewise.
    Returns:
        (B, 1, *S), 0 where ignored.
    """
    dice, total = _dice_and_total((before + after) / 2, reference)
    derivative = (2 * reference.foreground - like(dice, before)) / (like(total, before) * before.shape[1])
    shares = before[0, 0].numel() * (derivative * (after - before)).sum(dim=1, keepdim=True)
    return shares if reference.valid is None else shares * reference.valid


def _dice_and_total(probabilities: Tensor, reference: Reference) -> tuple[Tensor, Tensor]:
    """Soft Dice of each class, and the sum below its line; (B, K) each."""
    given = probabilities if reference.valid is None else probabilities * reference.valid
    overlap = (given * reference.foreground).flatten(2).sum(dim=2)
    total = given.flatten(2).sum(dim=2) + reference.foreground.flatten(2).sum(dim=2) + _SMOOTH
    return (2 * overlap + _SMOOTH) / total, total


def total_variation(probabilities: Tensor) -> Tensor:
    """Return mean |∇f|: absolute differences of neighbours, over all axes, pairs and classes of a volume.

    Args:
        probabilities: (B, K, *S), every axis of at least 2 voxels.
    Returns:
        (B,) in [0, 1].
    """
    axes = range(2, probabilities.ndim)
    each = [probabilities.diff(dim=axis).abs().flatten(1).mean(dim=1) for axis in axes if probabilities.shape[axis] > 1]
    return torch.stack(each).mean(dim=0)


def total_variation_shares(probabilities: Tensor) -> Tensor:
    """Return each voxel's share of `total_variation`, half of each of its differences: (B, 1, *S) of the same mean."""
    axes = [axis for axis in range(2, probabilities.ndim) if probabilities.shape[axis] > 1]
    shares = torch.zeros_like(probabilities[:, :1])
    for axis in axes:
        voxels = probabilities.shape[axis]
        differences = probabilities.diff(dim=axis).abs().mean(dim=1, keepdim=True) * voxels / (voxels - 1)
        halves = differences / (2 * len(axes))
        shares.narrow(axis, 0, voxels - 1).add_(halves)
        shares.narrow(axis, 1, voxels - 1).add_(halves)
    return shares


def fragmentation(masks: Tensor, reference: Reference) -> Tensor:
    """Return 1 − reference components / components where there are more than in the reference, mean over a volume's
    classes.

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
    """Return C(f): fragmentation plus total variation of each volume, (B,)."""
    return fragmentation(masks, reference) + total_variation(probabilities)


def _masks(probabilities: Tensor, reference: Reference) -> Tensor:
    """(B, K, *S) bool: the predicted regions, or the foreground class where one is the most likely of all."""
    if reference.regions:
        return probabilities > 0.5
    background = 1 - probabilities.sum(dim=1, keepdim=True)
    highest = probabilities.amax(dim=1, keepdim=True)
    return (probabilities == highest) & (highest > background)


def squared_error(probabilities: Tensor, reference: Reference) -> Tensor:
    """Return (f − G)², mean over the classes of each voxel: (B, 1, *S), 0 where ignored."""
    error = (probabilities - reference.foreground.to(probabilities.dtype)).square().mean(dim=1, keepdim=True)
    return error if reference.valid is None else error * reference.valid
