"""Bins of the entropy's histogram where labels are: at quantiles of the intensities near label edges.

Not in the paper, whose Eq. 3 leaves the bins open. Equal bins between an image's extremes go to air and bone on CT: the
most entropic patches are then skin, bowel gas and the table, not the borders of organs (docs/paper_to_code.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_dale.dale.label_edges import label_edges, within

NEAR = 3  # voxels
_MOST_VOXELS = 2**16  # of a batch; a quantile needs no more
_MEMORY = 0.9  # what a batch leaves of the ones before, whose quantiles are weighted by their number of voxels


class LabelIntensities:
    """The quantiles as a moving average over batches, since a patch may hold no label.

    Args:
        bins: of the histogram, at least 2.
    """

    def __init__(self, bins: int) -> None:
        self._bins = bins
        self.forget()

    def forget(self) -> None:
        """Start anew with the next batch."""
        self._bounds: Tensor | None = None
        self._voxels: Tensor | None = None

    def near(self, labels: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the voxels whose intensities count, (B, 1, *S) bool: within 3 voxels of a label edge."""
        return within(NEAR, label_edges(labels, valid))

    @torch.no_grad()
    def bounds(self, images: Tensor, labels: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the inner bounds of the bins after this batch, (C, bins - 1) ascending, float32; nothing is read back.

        Args:
            images: (B, C, *S), finite, image channels only.
            labels, valid: see `label_edges.label_edges`.
        """
        near = self.near(labels, valid)
        every = _stride(near.numel(), near.shape[2:])
        chosen = near.flatten()[::every]
        values = images.detach().float().movedim(1, 0).flatten(1)[:, ::every]
        found = chosen.sum()
        # a first batch without labels: all its voxels, with next to no weight beside the batches to come
        new = _quantiles(values, chosen | (found == 0), self._bins)
        voxels = torch.where(found > 0, found.float(), 1e-3)
        if self._bounds is None or self._voxels is None:
            self._bounds, self._voxels = new, voxels
        else:
            kept = _MEMORY * self._voxels
            share = torch.where(found > 0, voxels / (voxels + kept), 0.0)
            self._bounds = self._bounds + share * (new - self._bounds)
            self._voxels = kept + torch.where(found > 0, voxels, 0.0)
        return self._bounds


def bounds_of_case(images: Tensor, labels: Tensor, valid: Tensor | None, bins: int) -> Tensor | None:
    """Return `LabelIntensities.bounds` of one case alone; None where its labels have no edge.

    Args:
        images, labels, valid: see there; a case as one volume, or its slices as a batch.
        bins: of the histogram, at least 2.
    """
    intensities = LabelIntensities(bins)
    return intensities.bounds(images, labels, valid) if intensities.near(labels, valid).any() else None


def _stride(voxels: int, spatial: Sequence[int]) -> int:
    """Every how many voxels one is looked at, so that they are few and lie in all rows, columns and slices alike.

    A stride that shares a factor with the size of an axis meets some of its places alone: of a batch of two patches of
    128 voxels along each axis every 64th voxel lies in one of two columns.
    """
    every = -(-voxels // _MOST_VOXELS)
    while math.gcd(every, math.prod(spatial)) > 1:
        every += 1
    return every


def _quantiles(values: Tensor, chosen: Tensor, bins: int) -> Tensor:
    """The (bins − 1) inner quantiles of each row's chosen values, without an index whose size the host must know."""
    ordered = torch.where(chosen, values, torch.inf).sort(dim=1).values
    levels = torch.arange(1, bins, device=values.device) / bins
    position = (levels * (chosen.sum() - 1)).round().long().clamp_min(0)
    return ordered.gather(1, position.expand(len(values), -1))
