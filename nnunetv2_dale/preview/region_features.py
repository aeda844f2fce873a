"""Features of fuzzy and non-fuzzy regions, class by class: a sample of voxels, its t-SNE, how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nnunetv2_dale.dale.feature_alignment import class_gaussians, squared_wasserstein

PERPLEXITY = 30.0
VOXELS_PER_GROUP = 300  # of a class in the fuzzy, or in the non-fuzzy region
_STATISTICS_VOXELS = 100_000  # per class and region, for the Gaussians


@dataclass(frozen=True)
class RegionFeatures:
    """A sample of N voxels, at most so many of each class and region, and how the regions differ."""

    features: NDArray[np.float32]  # (N, C)
    classes: NDArray[np.int64]  # (N,)
    fuzzy: NDArray[np.bool_]  # (N,): m >= τ
    wasserstein: dict[int, float]  # class → W₂, fuzzy to non-fuzzy, relative to √tr Σ of the non-fuzzy side

    def silhouette_of_classes(self, fuzzy: bool) -> float:
        """Return the silhouette of the classes in one of the regions, −1 to 1; NaN with fewer than two."""
        return _silhouette(self.features[self.fuzzy == fuzzy], self.classes[self.fuzzy == fuzzy])

    def silhouette_of_regions(self) -> dict[int, float]:
        """Return class → silhouette of fuzzy against non-fuzzy voxels: 0 where they look alike; NaN without one."""
        return {
            int(value): _silhouette(self.features[self.classes == value], self.fuzzy[self.classes == value])
            for value in np.unique(self.classes)
        }


def region_features(
    features: Tensor,
    labels: Tensor,
    m: Tensor,
    tau: float,
    valid: Tensor | None = None,
    per_group: int = VOXELS_PER_GROUP,
) -> RegionFeatures:
    """Draw voxels of each class from both regions and compare the regions' Gaussians (Eq. 14).

    Args:
        features: (B, C, *S).
        labels: (B, 1, *S) label map.
        m: (B, 1, *S) fuzziness.
        tau: a voxel is fuzzy where m reaches it.
        valid: (B, 1, *S) bool, False for voxels to leave out.
    """
    used = torch.ones_like(m, dtype=torch.bool) if valid is None else valid
    fuzzy = m >= tau
    per_voxel = features.movedim(1, -1).flatten(0, -2).float().cpu().numpy()
    classes, is_fuzzy, counts = (part.flatten().cpu().numpy() for part in (labels.long(), fuzzy, used))
    rng = np.random.default_rng(0)
    drawn = []
    for value in np.unique(classes[counts]):
        for region in (False, True):
            members = np.flatnonzero(counts & (classes == value) & (is_fuzzy == region))
            drawn.append(rng.choice(members, min(per_group, len(members)), replace=False))
    chosen = np.concatenate(drawn) if drawn else np.zeros(0, np.int64)
    distances = _distances(features.double(), labels, fuzzy & used, ~fuzzy & used)
    return RegionFeatures(per_voxel[chosen], classes[chosen], is_fuzzy[chosen], distances)


def embedded(sample: RegionFeatures) -> NDArray[np.float32]:
    """Return (N, 2): t-SNE of the sample, started from its principal components.

    Raises:
        ValueError: fewer than 4 voxels.
    """
    from sklearn.manifold import TSNE  # a second to import, which the other pictures need not wait for

    if len(sample.features) < 4:
        raise ValueError(f"t-SNE needs at least 4 voxels, got {len(sample.features)}")
    scaled = sample.features - sample.features.mean(axis=0)
    scaled /= max(float(scaled.std()), float(np.finfo(np.float32).tiny))
    init = "pca" if scaled.shape[1] > 1 else "random"
    tsne = TSNE(perplexity=fitting_perplexity(len(scaled)), init=init, random_state=0)
    points: NDArray[np.float32] = tsne.fit_transform(scaled)
    return points


def fitting_perplexity(voxels: int) -> float:
    """Return `PERPLEXITY`, or a third of the voxels where that is less."""
    return min(PERPLEXITY, (voxels - 1) / 3)


def _distances(features: Tensor, labels: Tensor, fuzzy: Tensor, clear: Tensor) -> dict[int, float]:
    """Class → W₂ of its Gaussians, where both regions have at least two voxels and the non-fuzzy one any spread."""
    classes = int(labels.max()) + 1
    sides = [class_gaussians(features, labels, side, classes, _STATISTICS_VOXELS) for side in (clear, fuzzy)]
    spread = sides[0].covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
    relative = (squared_wasserstein(*sides).clamp_min(0) / spread).sqrt()
    enough = (sides[0].voxels >= 2) & (sides[1].voxels >= 2) & (spread > 0)
    return {value: float(relative[value]) for value in range(classes) if enough[value]}


def _silhouette(features: NDArray[np.float32], groups: NDArray[np.generic]) -> float:
    from sklearn.metrics import silhouette_score

    number = len(np.unique(groups))
    return float(silhouette_score(features, groups)) if 2 <= number < len(groups) else float("nan")
