"""Contrastive agreement between two views of the same crops: L_segc and L_qdc."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def similarity_sums(distributions: Tensor) -> Tensor:
    """Σ over voxels of the cosine between the samples' distributions at the same place.

    Args:
        distributions: (M, C, *S), what each voxel is made of: classes or queries.
    Returns:
        (M, M), symmetric, each in [−V, V] for V voxels.
    """
    with torch.autocast(distributions.device.type, enabled=False):  # sums over a volume exceed half precision
        exact = distributions if distributions.dtype == torch.float64 else distributions.float()
        unit = functional.normalize(exact.flatten(2), dim=1).flatten(1)
        return unit @ unit.T


def contrastive_agreement(similarity: Tensor, temperature: float) -> Tensor:
    """Return how much the two views of a sample resemble each other more than they resemble other samples (NT-Xent).

    L = −1/2B Σ_a log( exp(s(a, a⁺)/τ) / Σ_{b ≠ a} exp(s(a, b)/τ) )

    a runs over all 2B views, a⁺ is the other view of the same sample. s is to be a *mean* over voxels: of sums over a
    volume the log-sum-exp is 0 with a gradient of 0 as soon as a pair is a little ahead.

    Args:
        similarity: s, (2B, 2B); sample i has the rows i and B + i.
        temperature: τ.
    Raises:
        ValueError: fewer than two samples: then there is nothing to be told from.
    """
    views = similarity.shape[0]
    samples = views // 2
    if samples < 2 or views % 2:
        raise ValueError(f"expected two views of at least 2 samples, got {views} views")
    itself = torch.eye(views, dtype=torch.bool, device=similarity.device)
    logits = (similarity / temperature).masked_fill(itself, -torch.inf)
    return functional.cross_entropy(logits, torch.arange(views, device=similarity.device).roll(samples))
