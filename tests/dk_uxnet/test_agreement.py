"""The contrastive agreement: by hand, by a loop, and its gradient where views agree already."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, tensor

from nnunetv2_dale.dk_uxnet.agreement import contrastive_agreement, similarity_sums


def by_hand(similarity: np.ndarray, temperature: float) -> float:
    """NT-Xent written out."""
    views = len(similarity)
    total = 0.0
    for anchor in range(views):
        other_view = (anchor + views // 2) % views
        denominator = sum(math.exp(similarity[anchor, b] / temperature) for b in range(views) if b != anchor)
        total -= math.log(math.exp(similarity[anchor, other_view] / temperature) / denominator)
    return total / views


def test_similarity_against_a_loop_over_voxels() -> None:
    parts = torch.rand(3, 4, 2, 1, 3, dtype=torch.float64)
    sums = similarity_sums(parts)
    for a in range(3):
        for b in range(3):
            expected = 0.0
            for place in np.ndindex(2, 1, 3):
                x, y = (parts[(s, slice(None), *place)].numpy() for s in (a, b))
                expected += float(x @ y) / float(np.sqrt((x @ x) * (y @ y)))
            assert sums[a, b].item() == pytest.approx(expected)


def test_two_samples_by_hand() -> None:
    """Views agree (s = 1), samples have nothing in common (s = 0), τ = ½: −log(e² / (e² + 2))."""
    similarity = tensor([[1.0, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]])
    expected = -math.log(math.e**2 / (math.e**2 + 2))
    assert contrastive_agreement(similarity, temperature=0.5).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("samples", [2, 3, 5])
def test_against_the_formula_written_out(samples: int) -> None:
    values = torch.rand(2 * samples, 2 * samples, dtype=torch.float64)
    similarity = (values + values.T) / 2
    assert contrastive_agreement(similarity, 0.5).item() == pytest.approx(by_hand(similarity.numpy(), 0.5))


def test_agreeing_views_cost_less_than_disagreeing_ones() -> None:
    def loss(same: float) -> float:
        pairs = torch.full((4, 4), 0.5)
        for a, b in ((0, 2), (1, 3)):
            pairs[a, b] = pairs[b, a] = same
        return contrastive_agreement(pairs, 0.5).item()

    assert loss(0.9) < loss(0.5) < loss(0.1)
    assert loss(0.5) == pytest.approx(math.log(3))  # nothing is told from anything


def test_no_sample_is_told_from_itself_alone() -> None:
    with pytest.raises(ValueError, match="two views of at least 2 samples, got 2 views"):
        contrastive_agreement(torch.ones(2, 2), 0.5)


def segmentations(confidence: float, voxels: int) -> Tensor:
    """Two views of two samples that differ in half of the voxels; the views of a sample are the same."""
    first = torch.full((2, voxels), 1 - confidence, dtype=torch.float64)
    first[0] = confidence
    second = first.clone()
    second[:, : voxels // 2] = first.flip(0)[:, : voxels // 2]
    return torch.stack([first, second, first, second]).view(4, 2, voxels, 1, 1)


def test_the_gradient_does_not_vanish_where_views_agree() -> None:
    """−(1 − P)/(τ·2B) reaches each view pair, whatever the number of voxels; of summed similarities nothing does."""
    for voxels in (10, 10_000):
        parts = segmentations(0.99, voxels)
        similarity = (similarity_sums(parts) / voxels).requires_grad_()
        assert similarity[0, 2].item() == pytest.approx(1)
        contrastive_agreement(similarity, 0.5).backward()
        others = similarity[0, 1].item()
        probability = math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 2 * math.exp(others / 0.5))
        assert similarity.grad is not None
        assert similarity.grad[0, 2].item() == pytest.approx(-(1 - probability) / (0.5 * 4))
        assert abs(similarity.grad[0, 2].item()) > 0.2

    summed = similarity_sums(segmentations(0.99, 10_000)).requires_grad_()
    loss = contrastive_agreement(summed, 0.5)
    loss.backward()
    assert loss.item() == 0
    assert summed.grad is not None
    assert not summed.grad.any()


def test_gradient_through_similarity_and_loss() -> None:
    parts = torch.rand(4, 3, 2, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: contrastive_agreement(similarity_sums(given) / 4, 0.5), (parts,))


def test_sums_of_half_precision_do_not_overflow() -> None:
    parts = torch.ones(2, 2, 50, 50, 40, dtype=torch.float16)  # 100,000 voxels, above the largest half
    torch.testing.assert_close(similarity_sums(parts), torch.full((2, 2), 100_000.0), rtol=1e-4, atol=0)
