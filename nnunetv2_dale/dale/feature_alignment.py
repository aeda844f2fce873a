"""Alignment of the fuzzy view's class-wise feature Gaussians with those of the non-fuzzy view (Eqs. 12–14)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nnunetv2_dale.dale.marginal_loss import exact

# Added to the diagonal relative to the mean variance, for numerics only: keeps eigenvalues off 0, where the gradient
# of a square root is infinite. Not Eq. 13's ε, which multiplies a matrix of ones.
_RIDGE = 1e-4
# What L_W is divided by at least when it is taken relative to the variance: features that are dead have none.
_SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True)
class ClassGaussians:
    """One Gaussian per class of the features of its voxels."""

    mean: Tensor  # (K, C)
    covariance: Tensor  # (K, C, C); zeros for a class of fewer than 2 voxels
    voxels: Tensor  # (K,) how many voxels each was estimated from

    def detach(self) -> ClassGaussians:
        return ClassGaussians(self.mean.detach(), self.covariance.detach(), self.voxels)


def class_gaussians(
    features: Tensor,
    labels: Tensor,
    selected: Tensor,
    num_classes: int,
    max_voxels: int,
    regions: bool = False,
    generator: torch.Generator | None = None,
) -> ClassGaussians:
    """Return mean and covariance of the features of each class (Eq. 12), from at most `max_voxels` random voxels of it.

    Args:
        features: (B, C, *S); statistics in float32 at least.
        labels: (B, 1, *S) label map, or (B, R, *S) region targets.
        selected: (B, 1, *S) bool: the voxels to use.
        num_classes: K. Label maps: a voxel belongs to the class of its label. Regions: K = R + 1, and a voxel belongs
            to every region that covers it or, where none does, to class R.
        generator: for the choice of voxels; on the features' device.
    Returns:
        Gaussians differentiable in `features`. Classes without voxels have mean and covariance 0; so has, without a
        voxel, one whose features are not finite (half precision), which `eigh` would refuse.
    Raises:
        ValueError: features on another grid than the labels.
    """
    if features.shape[2:] != labels.shape[2:]:
        raise ValueError(
            f"DALE's alignment needs features on the grid of the labels, {tuple(labels.shape[2:])}, but those that "
            f"enter the head have {tuple(features.shape[2:])}: choose the head of the full resolution"
        )
    classes = _class_of_each_entry(labels, selected, num_classes, regions)
    voxel, counted = _voxels_of_each_class(classes, selected.numel(), num_classes, max_voxels, generator)
    spatial_size = features[0, 0].numel()
    sample = exact(features.flatten(2)[voxel // spatial_size, :, voxel % spatial_size])  # (K, n, C)
    weight = counted.to(sample.dtype).unsqueeze(1)
    voxels = weight.sum(dim=2)
    mean = (weight @ sample).squeeze(1) / voxels.clamp_min(1)
    centred = (sample - mean.unsqueeze(1)).mul_(weight.mT)
    covariance = centred.mT @ centred / (voxels - 1).clamp_min(1).unsqueeze(2)
    finite = mean.isfinite().all(dim=1) & covariance.isfinite().flatten(1).all(dim=1)
    return ClassGaussians(
        torch.where(finite[:, None], mean, 0.0),
        torch.where(finite[:, None, None], covariance, 0.0),
        voxels.squeeze(1) * finite,
    )


def perturbed(
    gaussians: ClassGaussians, covariance_noise: float, generator: torch.Generator | None = None
) -> ClassGaussians:
    """Return Σ + ε·𝟏𝟏ᵀ per class (Eq. 13): a matrix of ones, not the identity.

    ε is uniform in [0, covariance_noise × mean variance of the class], one draw per class.
    """
    classes = gaussians.mean.shape[0]
    draw = torch.rand(classes, generator=generator, device=gaussians.mean.device, dtype=gaussians.mean.dtype)
    epsilon = draw * covariance_noise * _mean_variance(gaussians.covariance).detach()
    return ClassGaussians(gaussians.mean, gaussians.covariance + epsilon.view(-1, 1, 1), gaussians.voxels)


def squared_wasserstein(a: ClassGaussians, b: ClassGaussians) -> Tensor:
    """Return the squared 2-Wasserstein (Bures) distance of each pair of Gaussians (Eq. 14), (K,).

    |μ_a − μ_b|² + tr Σ_a + tr Σ_b − 2 tr (Σ_a^½ Σ_b Σ_a^½)^½, the last trace as Σ √eigvalsh(S Σ_b S), S = Σ_a^½.

    `a` is the reference: no gradient flows through S. The gradient in `b` is finite also at repeated eigenvalues, where
    the gradient of a matrix root taken through `eigh` is NaN.
    """
    values, vectors = torch.linalg.eigh(a.covariance.detach())
    root = (vectors * values.clamp_min(0).sqrt().unsqueeze(1)) @ vectors.mT
    product = root @ b.covariance @ root
    eigenvalues = torch.linalg.eigvalsh((product + product.mT) / 2)
    tiny = torch.finfo(eigenvalues.dtype).tiny
    cross = torch.where(eigenvalues > tiny, eigenvalues.clamp_min(tiny).sqrt(), 0.0).sum(dim=1)
    return (a.mean - b.mean).square().sum(dim=1) + _trace(a.covariance) + _trace(b.covariance) - 2 * cross


def pooled(before: ClassGaussians, now: ClassGaussians, memory: float) -> ClassGaussians:
    """Return the Gaussians of what was seen before, its voxels counted `memory` times, and of what is seen now.

    Chan, Golub and LeVeque's update of means and sums of squares, "Algorithms for computing the sample variance", The
    American Statistician 37(3), 1983. A class that has no voxels now keeps its Gaussian.
    """
    old, new = memory * before.voxels, now.voxels
    total = old + new
    share = (new / total.clamp_min(1)).unsqueeze(1)
    shift = now.mean - before.mean
    squares = before.covariance * (old - 1).clamp_min(0).view(-1, 1, 1)
    squares = squares + now.covariance * (new - 1).clamp_min(0).view(-1, 1, 1)
    squares = squares + shift.unsqueeze(2) * shift.unsqueeze(1) * (old * new / total.clamp_min(1)).view(-1, 1, 1)
    return ClassGaussians(before.mean + share * shift, squares / (total - 1).clamp_min(1).view(-1, 1, 1), total)


def alignment_loss(
    non_fuzzy: ClassGaussians,
    fuzzy: ClassGaussians,
    min_voxels: int,
    covariance_noise: float,
    relative: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return L_W: the sum over classes of the squared Wasserstein distance, fuzzy to non-fuzzy (Eqs. 13–14).

    A class with fewer than `min_voxels` voxels on either side is left out; 0 without any class. The non-fuzzy side is
    detached, the fuzzy side is not. ε of Eq. 13 is drawn per class and perturbs the non-fuzzy side only (Σ_n′, Eq. 14).

    Args:
        relative: divide each class's distance by tr Σ_n, so that it does not grow with the scale of the features; not
            in the paper.
    """
    enough = (non_fuzzy.voxels >= min_voxels) & (fuzzy.voxels >= min_voxels)
    non_fuzzy = non_fuzzy.detach()
    reference = _with_ridge(_only(perturbed(non_fuzzy, covariance_noise, generator), enough))
    distance = squared_wasserstein(reference, _with_ridge(_only(fuzzy, enough)))
    if relative:
        distance = distance / _trace(non_fuzzy.covariance).clamp_min(_SMALLEST_VARIANCE)
    return torch.where(enough, distance, 0.0).sum()


def _class_of_each_entry(labels: Tensor, selected: Tensor, num_classes: int, regions: bool) -> Tensor:
    """The class of each voxel, or of each (region, voxel) pair, flattened; `num_classes` where it is in none."""
    if not regions:
        return torch.where(selected, labels.long(), num_classes).flatten()
    covered = labels != 0
    member = torch.cat([covered, ~covered.any(dim=1, keepdim=True)], dim=1) & selected
    classes = torch.arange(num_classes, device=labels.device).view(-1, *[1] * (labels.ndim - 1))
    return torch.where(member.movedim(1, 0), classes, num_classes).flatten()


def _voxels_of_each_class(
    class_of_entry: Tensor, voxels: int, num_classes: int, max_voxels: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """At most `max_voxels` random voxels per class: indices into the flattened batch and which of them count, (K, n).

    One sort of (class, random number) puts every class's voxels side by side in random order; no boolean indexing,
    whose result size the host would have to wait for.
    """
    entries, device = class_of_entry.numel(), class_of_entry.device
    shuffle = torch.randint(2**32, (entries,), generator=generator, device=device)
    key, order = (class_of_entry * 2**32 + shuffle).sort()
    bounds = torch.searchsorted(key, torch.arange(num_classes + 1, device=device) * 2**32)
    most = min(max_voxels, entries)
    if device.type == "cpu":  # reading a number back costs nothing here; many small classes would be mostly padding
        most = min(most, int(bounds.diff().max()))
    position = bounds[:-1, None] + torch.arange(most, device=device)
    counted = position < bounds[1:, None]
    return order[position.clamp_max(entries - 1)] % voxels, counted


def _only(gaussians: ClassGaussians, kept: Tensor) -> ClassGaussians:
    """Standard Gaussians in place of the classes left out, so that their gradient is 0 instead of NaN."""
    identity = torch.eye(gaussians.mean.shape[1], device=kept.device, dtype=gaussians.mean.dtype)
    return ClassGaussians(
        torch.where(kept[:, None], gaussians.mean, 0.0),
        torch.where(kept[:, None, None], gaussians.covariance, identity),
        gaussians.voxels,
    )


def _with_ridge(gaussians: ClassGaussians) -> ClassGaussians:
    size = _RIDGE * _mean_variance(gaussians.covariance).detach() + torch.finfo(gaussians.mean.dtype).eps
    ridge = size.view(-1, 1, 1) * torch.eye(gaussians.mean.shape[1], device=size.device, dtype=size.dtype)
    return ClassGaussians(gaussians.mean, gaussians.covariance + ridge, gaussians.voxels)


def _mean_variance(covariance: Tensor) -> Tensor:
    return _trace(covariance) / covariance.shape[1]


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=1, dim2=2).sum(dim=1)
