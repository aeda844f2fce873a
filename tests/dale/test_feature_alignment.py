"""Gaussians per class and their Bures distance: by hand, against POT and NumPy, and where gradients like to be NaN."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale.dale.feature_alignment import (
    ClassGaussians,
    alignment_loss,
    class_gaussians,
    perturbed,
    pooled,
    squared_wasserstein,
)


def gaussians(mean: Tensor, covariance: Tensor, voxels: int = 100) -> ClassGaussians:
    return ClassGaussians(mean, covariance, torch.full((len(mean),), float(voxels)))


def random_gaussians(classes: int, channels: int, rank: int | None = None) -> ClassGaussians:
    factors = torch.randn(classes, channels, rank or channels + 2, dtype=torch.float64)
    return gaussians(torch.randn(classes, channels, dtype=torch.float64), factors @ factors.mT / channels)


def test_diagonal_gaussians_by_hand():  # |(3, 4)|² + (2 − 1)² + (3 − 1)² = 30
    a = gaussians(torch.tensor([[0.0, 0.0]]), torch.tensor([4.0, 9.0]).diag()[None])
    b = gaussians(torch.tensor([[3.0, 4.0]]), torch.eye(2)[None])
    assert_close(squared_wasserstein(a, b), torch.tensor([30.0]))


def test_it_is_the_square_of_pots_distance():
    a, b = random_gaussians(4, 6), random_gaussians(4, 6)
    expected = [
        ot.gaussian.bures_wasserstein_distance(*(x.numpy() for x in (m, n, s, t))) ** 2
        for m, n, s, t in zip(a.mean, b.mean, a.covariance, b.covariance, strict=True)
    ]
    assert_close(squared_wasserstein(a, b), torch.tensor(np.array(expected)))


def test_rank_deficient_gaussians_are_right_where_pot_gives_nan():
    """tr (Σ_a^½ Σ_b Σ_a^½)^½ as the sum of the roots of the eigenvalues of Σ_a Σ_b, not symmetrised."""
    a, b = random_gaussians(4, 6, rank=2), random_gaussians(4, 6, rank=2)
    products = (a.covariance @ b.covariance).numpy()
    cross = np.sqrt(np.linalg.eigvals(products).real.clip(min=0)).sum(axis=1)
    traces = (a.covariance + b.covariance).diagonal(dim1=1, dim2=2).sum(dim=1).numpy()
    expected = ((a.mean - b.mean) ** 2).sum(dim=1).numpy() + traces - 2 * cross
    assert_close(squared_wasserstein(a, b), torch.tensor(expected), rtol=1e-6, atol=1e-6)


def test_it_is_symmetric_zero_at_equality_and_invariant_under_rotation():
    a, b = random_gaussians(3, 5), random_gaussians(3, 5)
    assert_close(squared_wasserstein(a, b), squared_wasserstein(b, a))
    assert_close(squared_wasserstein(a, a), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-9)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    turned = [gaussians(x.mean @ turn.T, turn @ x.covariance @ turn.T) for x in (a, b)]
    assert_close(squared_wasserstein(*turned), squared_wasserstein(a, b))


def test_gradient_is_right():
    a, b = random_gaussians(2, 4), random_gaussians(2, 4)

    def distance(mean: Tensor, factor: Tensor) -> Tensor:
        return squared_wasserstein(a, gaussians(mean, factor @ factor.mT))

    factor = torch.linalg.cholesky(b.covariance)
    assert torch.autograd.gradcheck(distance, (b.mean.requires_grad_(), factor.requires_grad_()))


@pytest.mark.parametrize("kind", ["repeated", "deficient", "zero", "equal"])
def test_gradient_is_finite_where_roots_through_eigh_give_nan(kind):
    channels = 6
    deficient = torch.zeros(channels, channels)
    deficient[0, 0] = 1
    covariance = {
        "repeated": torch.eye(channels),
        "deficient": deficient,
        "zero": torch.zeros(channels, channels),
        "equal": torch.diag(torch.tensor([1.0, 1, 1, 2, 2, 3])),
    }[kind][None].requires_grad_()
    mean = torch.zeros(1, channels, requires_grad=True)
    reference = gaussians(torch.ones(1, channels), covariance.detach())
    alignment_loss(reference, gaussians(mean, covariance), min_voxels=2, covariance_noise=0.0).backward()
    assert torch.isfinite(covariance.grad).all()
    assert_close(mean.grad, torch.full((1, channels), -2.0))


def test_only_the_fuzzy_side_has_a_gradient():
    sides = [gaussians(torch.randn(1, 3).requires_grad_(), torch.eye(3)[None].requires_grad_()) for _ in range(2)]
    alignment_loss(*sides, min_voxels=2, covariance_noise=0.1).backward()
    assert sides[0].mean.grad is None
    assert sides[0].covariance.grad is None
    assert sides[1].mean.grad.abs().sum() > 0


def test_following_the_gradient_brings_the_features_together():
    torch.manual_seed(1)
    labels = torch.zeros(1, 1, 16, 16, dtype=torch.int16)
    everything = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    reference = class_gaussians(torch.randn(1, 4, 16, 16), labels, everything, 1, 256)
    moving = (3 * torch.randn(1, 4, 16, 16) + 5).requires_grad_()
    for _ in range(300):
        fuzzy = class_gaussians(moving, labels, everything, 1, 256)
        (gradient,) = torch.autograd.grad(alignment_loss(reference, fuzzy, 2, 0.0), moving)
        moving = (moving - 20 * gradient).detach().requires_grad_()
    fuzzy = class_gaussians(moving, labels, everything, 1, 256)
    assert_close(fuzzy.mean, reference.mean, atol=0.05, rtol=0)
    assert_close(fuzzy.covariance, reference.covariance, atol=0.1, rtol=0)


def test_class_statistics_are_numpys():
    features, labels = torch.randn(2, 5, 8, 9), torch.randint(0, 3, (2, 1, 8, 9))
    selected = torch.rand(2, 1, 8, 9) > 0.3
    found = class_gaussians(features, labels, selected, 4, max_voxels=1000)
    per_voxel = features.movedim(1, -1).reshape(-1, 5).numpy()
    for label in range(3):
        inside = per_voxel[((labels == label) & selected).flatten().numpy()]
        assert_close(found.mean[label], torch.tensor(inside.mean(axis=0)))
        assert_close(found.covariance[label], torch.tensor(np.cov(inside.T)).float())
        assert found.voxels[label] == len(inside)
    assert found.voxels[3] == 0
    assert found.mean[3].abs().sum() == found.covariance[3].abs().sum() == 0


def test_regions_overlap_and_what_none_covers_is_a_class_of_its_own():
    features = torch.arange(6.0).view(1, 1, 1, 6)
    whole, core = torch.tensor([[0, 1, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0]]).bool().view(2, 1, 1, 1, 6)
    selected = torch.tensor([1, 1, 1, 1, 1, 0]).bool().view(1, 1, 1, 6)
    found = class_gaussians(features, torch.cat([whole, core], dim=1), selected, 3, 10, regions=True)
    assert_close(found.mean.flatten(), torch.tensor([2.0, 2.0, 2.0]))  # (1+2+3)/3, 2, (0+4)/2
    assert_close(found.voxels, torch.tensor([3.0, 1.0, 2.0]))


def test_at_most_so_many_voxels_of_each_class_and_all_equally_likely():
    features = torch.arange(40.0).view(1, 1, 4, 10)
    labels = (features >= 30).long()
    generator = torch.Generator().manual_seed(3)
    means = []
    for _ in range(400):
        found = class_gaussians(features, labels, labels >= 0, 2, max_voxels=20, generator=generator)
        assert_close(found.voxels, torch.tensor([20.0, 10.0]))
        means.append(found.mean.flatten())
    assert_close(torch.stack(means).mean(dim=0), torch.tensor([14.5, 34.5]), atol=0.25, rtol=0)


def test_the_choice_of_voxels_follows_the_generator():
    features, labels = torch.randn(1, 2, 30, 30), torch.zeros(1, 1, 30, 30)
    draws = [
        class_gaussians(features, labels, labels == 0, 1, 50, generator=torch.Generator().manual_seed(seed)).mean
        for seed in (1, 1, 2)
    ]
    assert_close(draws[0], draws[1], rtol=0, atol=0)
    assert (draws[0] != draws[2]).any()


def test_epsilon_multiplies_ones_and_not_the_identity():
    """Eq. 13: every entry of a class's covariance grows by one number, below the stated part of the mean variance."""
    before = gaussians(torch.zeros(50, 3), 4 * torch.eye(3).expand(50, 3, 3))
    added = perturbed(before, 0.5, torch.Generator().manual_seed(0)).covariance - before.covariance
    assert_close(added, added[:, :1, :1].expand(50, 3, 3))
    assert added.min() >= 0
    assert added.max() <= 2
    assert added[:, 0, 0].unique().numel() == 50


def test_pooled_gaussians_are_numpys_of_both_samples():
    """Without forgetting they are those of the voxels of both batches."""
    batches = [(torch.randn(1, 3, 8, 9) + shift, torch.randint(0, 2, (1, 1, 8, 9))) for shift in (0, 2)]
    everywhere = torch.ones(1, 1, 8, 9, dtype=torch.bool)
    sides = [class_gaussians(features, labels, everywhere, 3, 1000) for features, labels in batches]
    found = pooled(*sides, memory=1.0)
    for label in range(2):
        inside = np.concatenate([f.movedim(1, -1)[(y == label)[:, 0]].numpy() for f, y in batches])
        assert_close(found.mean[label], torch.tensor(inside.mean(axis=0)))
        assert_close(found.covariance[label], torch.tensor(np.cov(inside.T)).float())
        assert found.voxels[label] == len(inside)
    assert found.voxels[2] == found.covariance[2].abs().sum() == 0


def test_pooled_gaussians_forget():
    """With memory 1/2 a batch of 6 voxels counts as 3: mean (3 · 0 + 1 · 4) / 4, between-scatter 3 · 1 / 4 · 4²."""
    before = ClassGaussians(torch.tensor([[0.0]]), torch.tensor([[[2.0]]]), torch.tensor([6.0]))
    now = ClassGaussians(torch.tensor([[4.0]]), torch.tensor([[[0.0]]]), torch.tensor([1.0]))
    found = pooled(before, now, memory=0.5)
    assert (found.mean.item(), found.voxels.item()) == (1.0, 4.0)
    assert found.covariance.item() == pytest.approx((2 * (3 - 1) + 12) / 3)


def test_a_class_without_voxels_keeps_its_gaussian_and_fades():
    before = gaussians(torch.tensor([[3.0, 1.0]]), 2 * torch.eye(2)[None], voxels=100)
    nothing = ClassGaussians(torch.zeros(1, 2), torch.zeros(1, 2, 2), torch.zeros(1))
    found = pooled(before, nothing, memory=0.9)
    assert_close((found.mean, found.covariance), (before.mean, before.covariance))
    assert found.voxels.item() == pytest.approx(90)
    assert_close(pooled(nothing, before, memory=0.9).covariance, before.covariance)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_relative_it_does_not_grow_with_the_features(scale):
    a, b = random_gaussians(3, 4), random_gaussians(3, 4)
    expected = (squared_wasserstein(a, b) / a.covariance.diagonal(dim1=1, dim2=2).sum(1)).sum()
    scaled = [gaussians(scale * x.mean, scale**2 * x.covariance) for x in (a, b)]
    found = alignment_loss(*scaled, min_voxels=2, covariance_noise=0.0, relative=True)
    assert_close(found, expected, rtol=1e-3, atol=1e-6)  # the ridge is 1e-4 of the variance


def test_dead_features_have_a_finite_relative_distance():
    a, b = (gaussians(torch.full((1, 3), value), torch.zeros(1, 3, 3)) for value in (0.0, 1e-3))
    assert alignment_loss(a, b, 2, 0.01, relative=True).item() == pytest.approx(3e-6 / 1e-6, rel=0.1)


def test_noise_is_on_the_non_fuzzy_side_alone():
    """ε is drawn for Σ_n′ (Eqs. 13 and 14): L_W of noise ε is L_W of a reference perturbed by hand."""
    a, b = random_gaussians(2, 4), random_gaussians(2, 4)
    epsilon = torch.rand(2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    epsilon = 0.5 * epsilon * a.covariance.diagonal(dim1=1, dim2=2).mean(1)
    by_hand = gaussians(a.mean, a.covariance + epsilon.view(2, 1, 1))
    found = alignment_loss(a, b, 2, 0.5, generator=torch.Generator().manual_seed(3))
    assert_close(found, alignment_loss(by_hand, b, 2, 0.0))


def test_classes_with_too_few_voxels_are_left_out():
    mean, covariance = torch.tensor([[0.0], [0.0], [0.0]]), torch.ones(3, 1, 1)
    a = ClassGaussians(mean, covariance, torch.tensor([50.0, 50.0, 3.0]))
    b = ClassGaussians((mean + 2).requires_grad_(), covariance, torch.tensor([50.0, 3.0, 50.0]))
    loss = alignment_loss(a, b, min_voxels=16, covariance_noise=0.0)
    assert_close(loss, torch.tensor(4.0))
    (gradient,) = torch.autograd.grad(loss, b.mean)
    assert_close(gradient.flatten(), torch.tensor([4.0, 0.0, 0.0]))


def test_no_class_at_all_is_zero_with_a_finite_gradient():
    features = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels, nothing = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    empty = class_gaussians(features, labels, nothing, 2, 16)
    loss = alignment_loss(empty, empty, min_voxels=2, covariance_noise=0.1)
    loss.backward()
    assert loss == 0
    assert features.grad.abs().sum() == 0


@pytest.mark.parametrize("overflow", [float("nan"), float("inf")])
def test_a_class_with_features_that_are_not_finite_is_left_out_and_not_remembered(overflow: float):
    """Half precision overflows now and then; `eigh` raises an error at it, and a moving average would keep it."""
    labels, everywhere = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.bool)
    labels[..., 4:] = 1
    before, features = torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8)
    features[0, 1, 2, 2] = overflow  # of class 0
    clear, fuzzy = (class_gaussians(each, labels, everywhere, 2, 64) for each in (before, features))
    assert fuzzy.voxels.tolist() == [0, 32]
    sides = (ClassGaussians(each.mean[1:], each.covariance[1:], each.voxels[1:]) for each in (clear, fuzzy))
    assert_close(alignment_loss(clear, fuzzy, 2, 0.0), squared_wasserstein(*sides).squeeze(), rtol=1e-2, atol=0)
    assert_close(pooled(clear, fuzzy, 0.9).mean[0], clear.mean[0])


def test_half_precision_features_give_float32_statistics():
    features = torch.randn(1, 3, 8, 8).half()
    found = class_gaussians(features, torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.bool), 1, 64)
    assert found.covariance.dtype == torch.float32


def test_features_on_another_grid_than_the_labels_are_refused():
    labels = torch.zeros(1, 1, 8, 8)
    with pytest.raises(ValueError, match=r"grid of the labels, \(8, 8\), but .* have \(4, 4\)"):
        class_gaussians(torch.randn(1, 3, 4, 4), labels, labels == 0, 1, 16)
