"""Agreement between two views of the same crop: L_segc and L_qdc. No crop is compared with another one.

The published terms push crops apart at each voxel. Two right segmentations of mostly background are alike there, so
those terms work against the task.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dale.dale.marginal_loss import exact

SMALLEST_SQUARE = 1e-12  # of a query's map: below it the map counts as nothing, and has no gradient


def view_disagreement(strong: Tensor, weak: Tensor) -> Tensor:
    """L_segc: mean over voxels of 1 − cos(strong, weak), in [0, 1]; the weak view teaches and has no gradient.

    Args:
        strong, weak: (B, C, *S), the class probabilities of each voxel in the two views.
    """
    with torch.autocast(strong.device.type, enabled=False):  # a cosine near 1 is more than half precision has
        return 1 - functional.cosine_similarity(exact(strong), exact(weak.detach()), dim=1).mean()


def map_similarity(products: Tensor, strong_squares: Tensor, weak_squares: Tensor) -> Tensor:
    """The cosine of each query's map in the strong view with each query's in the weak one.

    Args:
        products: (B, N, N), Σ over voxels of strong map n × weak map m.
        strong_squares, weak_squares: (B, N), Σ over voxels of the maps' squares.
    Returns:
        (B, N, N), in [0, 1] for maps that are shares.
    """
    strong, weak = (squares.clamp_min(SMALLEST_SQUARE).sqrt() for squares in (strong_squares, weak_squares))
    return products / (strong[:, :, None] * weak[:, None, :])


def query_contrast(similarity: Tensor, shares: Tensor, sizes: Sequence[int], temperature: float) -> Tensor:
    """L_qdc: each query's map is to be found again in the other view, among those of the crop's other classes.

    L = mean over crops of Σ_n w_n log( 1 + Σ_m w_m exp((s(n, m) − s(n, n)) / τ) ), m of other groups than n

    w is the part of the crop that a query holds. A query that holds nothing has a map of noise, and no say on either
    side: told apart from it, background would leave its own voxels. Queries of one class are not told apart: where two
    of them share a voxel, that would hand it to another class.

    Args:
        similarity: s, (B, N, N): strong view's queries by the weak view's.
        shares: w, (B, N), summing to 1.
        sizes: of the query groups, summing to N.
        temperature: τ.
    """
    device = similarity.device
    group = torch.arange(len(sizes), device=device).repeat_interleave(torch.tensor(sizes, device=device))
    itself = similarity.diagonal(dim1=1, dim2=2)[:, :, None]
    others = ((similarity - itself) / temperature).exp() * shares[:, None, :] * (group[:, None] != group)
    return (shares * others.sum(dim=2).log1p()).sum(dim=1).mean()
