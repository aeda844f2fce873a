"""Where an image is fuzzy: patch entropy and label-edge ratio (Eqs. 3–5).

Everything is one pass over a batch on the batch's device: no loop over patches or cases, no host synchronisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dale.dale.label_edges import label_edges

FuzzinessSource = Literal["both", "entropy", "edges"]
IntensityBins = Literal["equal", "near_labels"]

# Differences between patches below this are rounding (a histogram summed in another order), not contrast.
_FLAT_MAP = 1e-6


@dataclass(frozen=True)
class FuzzinessMap:
    """The fuzziness of every voxel and what it is made of; each (B, 1, *S) float32 in [0, 1], constant in a patch."""

    entropy: Tensor  # r after min-max (Eqs. 3, 5)
    edges: Tensor  # e after min-max (Eqs. 4, 5)
    combined: Tensor  # m (Eq. 5)


def patch_shape(
    spatial_shape: Sequence[int],
    patch_size: int = 16,
    spacing_mm: Sequence[float] | None = None,
    fewest_patches: int = 1,
) -> tuple[int, ...]:
    """Return the voxels a fuzziness patch spans along each axis.

    2D, or 3D without a spacing: `patch_size` along every axis. 3D with a spacing: `patch_size` in-plane, and
    through-plane (the axis of the largest spacing, the first of equal ones) as many voxels as make the patch about as
    deep as it is wide in mm. Never less than 1 or more than the axis.

    The paper's 16 voxels are a fourteenth of its images. A patch of a small image would hold a whole organ: there it is
    narrower, so that `fewest_patches` fit along the shortest in-plane axis.

    Args:
        spatial_shape: 2 or 3 sizes in voxels.
        patch_size: voxels along an in-plane axis, at least 1.
        fewest_patches: along the shortest in-plane axis; 1 leaves the patch size as it is.
        spacing_mm: one spacing per axis, in the order of the axes.
    Raises:
        ValueError: patch_size below 1; neither 2 nor 3 axes; a spacing of another length or not positive.
    """
    if patch_size < 1:
        raise ValueError(f"patch_size must be at least 1 voxel, got {patch_size}")
    if len(spatial_shape) not in (2, 3):
        raise ValueError(f"expected 2 or 3 spatial axes, got shape {tuple(spatial_shape)}")
    through_plane = None
    if spacing_mm is not None:
        if len(spacing_mm) != len(spatial_shape) or not all(spacing > 0 for spacing in spacing_mm):
            raise ValueError(f"expected {len(spatial_shape)} positive spacings in mm, got {tuple(spacing_mm)}")
        if len(spatial_shape) == 3:
            through_plane = max(range(3), key=lambda axis: spacing_mm[axis])
    in_plane = [int(size) for axis, size in enumerate(spatial_shape) if axis != through_plane]
    if fewest_patches > 1:
        patch_size = min(patch_size, max(1, min(in_plane) // fewest_patches))
    sizes = [patch_size] * len(spatial_shape)
    if spacing_mm is not None and through_plane is not None:
        in_plane_mm = (sum(spacing_mm) - spacing_mm[through_plane]) / 2
        sizes[through_plane] = max(1, round(patch_size * in_plane_mm / spacing_mm[through_plane]))
    return tuple(min(size, int(axis)) for size, axis in zip(sizes, spatial_shape, strict=True))


def patch_entropy(
    images: Tensor, patch: Sequence[int], entropy_bins: int = 32, bin_bounds: Tensor | None = None
) -> Tensor:
    """Return the Shannon entropy of the intensities in each patch, mean over channels, in nats (Eq. 3).

    r = -sum_b p_b log p_b, with p the patch's histogram over `entropy_bins` bins: equal ones between the minimum and
    the maximum of that image and channel, or those between `bin_bounds`.
    The sum is over intensity values: summed over pixels, as Eq. 3 can be read, it would fall when the distribution gets
    more uniform.

    Args:
        images: (B, C, *S), finite. A constant channel has entropy 0.
        patch: voxels along each axis; patches at the far border are smaller and use the voxels they have.
        entropy_bins: at least 2.
        bin_bounds: (C, entropy_bins - 1) ascending, from `LabelIntensities`; None: equal bins.
    Returns:
        (B, 1, *grid), grid = ceil(S / patch), float32 in [0, log(entropy_bins)].
    """
    if entropy_bins < 2:
        raise ValueError(f"entropy needs at least 2 bins, got {entropy_bins}")
    batch, channels, *spatial = images.shape
    values = images.detach().float().flatten(2)
    if bin_bounds is None:
        low, high = values.amin(dim=2, keepdim=True), values.amax(dim=2, keepdim=True)
        relative = (values - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)
        bins = (relative * entropy_bins).clamp_max(entropy_bins - 1).long()
    else:
        bounds = bin_bounds.to(values.dtype).expand(batch, channels, entropy_bins - 1).contiguous()
        bins = torch.searchsorted(bounds, values.contiguous(), right=True)
    grid = _grid_shape(spatial, patch)
    patches = int(torch.Size(grid).numel())
    cell = bins.add_(_patch_index(spatial, patch, images.device), alpha=entropy_bins)  # in place: 8 bytes a voxel
    counts = torch.zeros(batch, channels, patches * entropy_bins, device=images.device)
    counts.scatter_add_(2, cell, torch.ones((), device=images.device).expand(cell.shape))
    counts = counts.view(batch, channels, patches, entropy_bins)
    probabilities = counts / counts.sum(dim=3, keepdim=True)
    entropy: Tensor = torch.special.entr(probabilities).sum(dim=3)
    return entropy.mean(dim=1, keepdim=True).view(batch, 1, *grid)


def patch_edge_ratio(labels: Tensor, patch: Sequence[int], valid: Tensor | None = None) -> Tensor:
    """Return edge voxels over counted voxels in each patch (Eq. 4).

    Args:
        labels, valid: see `label_edges`.
        patch: voxels along each axis.
    Returns:
        (B, 1, *grid) float32 in [0, 1]; 0 where every voxel of a patch is ignored.
    """
    edges = label_edges(labels, valid)
    counted = torch.ones_like(edges) if valid is None else valid
    return _patch_sum(edges.float(), patch) / _patch_sum(counted.float(), patch).clamp_min(1)


def fuzziness_map(
    images: Tensor,
    labels: Tensor,
    patch: Sequence[int],
    entropy_bins: int = 32,
    valid: Tensor | None = None,
    source: FuzzinessSource = "both",
    bin_bounds: Tensor | None = None,
    per_patch: bool = False,
) -> FuzzinessMap:
    """Return the fuzziness m of every voxel of a batch (Eqs. 3–5).

    m = max(minmax(r), minmax(e)), min–max over the patches of one image; a constant map becomes 0, never NaN.

    Args:
        images: (B, C, *S), finite, image channels only.
        labels, valid: see `label_edges`.
        patch: voxels along each axis (`patch_shape`).
        source: "entropy" or "edges" takes m from one of the two alone.
        bin_bounds: see `patch_entropy`.
        per_patch: one value per patch, (B, 1, *grid) with grid = ceil(S / patch), instead of one per voxel.
    """
    spatial = images.shape[2:]
    if labels.shape[2:] != spatial or len(patch) != len(spatial):
        raise ValueError(
            f"images, labels and patch must agree in space, got {tuple(images.shape)}, {tuple(labels.shape)} "
            f"and a patch of {tuple(patch)}"
        )
    entropy = _min_max(patch_entropy(images, patch, entropy_bins, bin_bounds))
    edges = _min_max(patch_edge_ratio(labels, patch, valid))
    combined = {"both": torch.maximum(entropy, edges), "entropy": entropy, "edges": edges}[source]
    grids = (entropy, edges, combined)
    return FuzzinessMap(*(grids if per_patch else (_to_voxels(grid, patch, spatial) for grid in grids)))


def _grid_shape(spatial: Sequence[int], patch: Sequence[int]) -> list[int]:
    return [-(-size // step) for size, step in zip(spatial, patch, strict=True)]


def _patch_index(spatial: Sequence[int], patch: Sequence[int], device: torch.device) -> Tensor:
    """The number of each voxel's patch, (prod(S),), in the order of the flattened grid."""
    index = torch.zeros((), dtype=torch.long, device=device)
    for size, step, cells in zip(spatial, patch, _grid_shape(spatial, patch), strict=True):
        index = index.unsqueeze(-1) * cells + torch.arange(size, device=device) // step
    return index.flatten()


def _patch_sum(values: Tensor, patch: Sequence[int]) -> Tensor:
    """Sums of (B, C, *S) over patches: (B, C, *grid)."""
    padding = [amount for size, step in zip(values.shape[2:], patch, strict=True) for amount in (-size % step, 0)][::-1]
    cells = functional.pad(values, padding)
    for axis, step in enumerate(patch):
        before, after = cells.shape[: 2 + axis], cells.shape[3 + axis :]
        cells = cells.reshape(*before, -1, step, *after).sum(dim=3 + axis)
    return cells


def _to_voxels(grid: Tensor, patch: Sequence[int], spatial: Sequence[int]) -> Tensor:
    """Every voxel gets the value of its patch: (B, 1, *grid) to (B, 1, *S)."""
    for axis, (step, size) in enumerate(zip(patch, spatial, strict=True)):
        grid = grid.repeat_interleave(step, dim=2 + axis).narrow(2 + axis, 0, size)
    return grid.contiguous()


def _min_max(grid: Tensor) -> Tensor:
    """Scale each image's map to [0, 1] (Eq. 5); a constant map becomes 0."""
    axes = tuple(range(1, grid.ndim))
    low, high = grid.amin(dim=axes, keepdim=True), grid.amax(dim=axes, keepdim=True)
    contrast = high - low
    return torch.where(contrast > _FLAT_MAP, (grid - low) / contrast.clamp_min(_FLAT_MAP), 0.0)
