"""Query groups: sizes, shares that sum to 1, and L_qd by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from nnunetv2_dale.dk_uxnet.query_groups import group_log_probabilities, group_loss, group_sizes, starting_bias


@pytest.mark.parametrize(
    ("queries", "classes", "share", "sizes"),
    [
        (128, 2, 0.125, (16, 112)),
        (128, 3, 0.125, (16, 56, 56)),
        (10, 4, 0.125, (1, 3, 3, 3)),
        (11, 4, 0.125, (1, 4, 3, 3)),
        (6, 6, 1.0, (1, 1, 1, 1, 1, 1)),
        (6, 2, 0.0, (1, 5)),
    ],
)
def test_sizes(queries: int, classes: int, share: float, sizes: tuple[int, ...]) -> None:
    assert group_sizes(queries, classes, share) == sizes


@given(queries=st.integers(2, 300), classes=st.integers(2, 60), share=st.floats(0, 1))
def test_every_query_is_in_a_group_and_no_group_is_empty(queries: int, classes: int, share: float) -> None:
    if queries < classes:
        with pytest.raises(ValueError, match="raise query_count"):
            group_sizes(queries, classes, share)
        return
    sizes = group_sizes(queries, classes, share)
    assert len(sizes) == classes
    assert sum(sizes) == queries
    assert min(sizes) >= 1
    assert max(sizes[1:]) - min(sizes[1:]) <= 1


def test_shares_sum_to_one_and_are_the_sums_of_the_softmax() -> None:
    logits = torch.randn(2, 7, 2, 3, 4, dtype=torch.float64) * 5
    shares = group_log_probabilities(logits, (1, 4, 2)).exp()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, 2, 3, 4, dtype=torch.float64))
    weights = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    for group, members in enumerate([(0,), (1, 2, 3, 4), (5, 6)]):
        torch.testing.assert_close(shares[:, group], sum(weights[:, query] for query in members))


@pytest.mark.parametrize("shares", [(0.95, 0.04, 0.01), (0.2, 0.5, 0.3)])
def test_queries_that_fit_alike_start_at_the_classes_shares(shares: tuple[float, ...]) -> None:
    sizes = (16, 56, 56)
    logits = starting_bias(shares, sizes).view(1, 128, 1, 1, 1) + 0.7
    found = group_log_probabilities(logits, sizes).exp().flatten()
    torch.testing.assert_close(found, tensor(shares))


def test_a_class_without_a_voxel_starts_at_a_share_from_which_it_can_learn() -> None:
    bias = starting_bias((1.0, 0.0), (1, 1))
    assert bias.isfinite().all()
    assert group_log_probabilities(bias.view(1, 2, 1, 1), (1, 1)).exp()[0, 1].item() == pytest.approx(1e-4, rel=1e-3)


def test_a_share_of_almost_nothing_keeps_its_gradient() -> None:
    """log of a sum of a softmax would be log 0 here."""
    logits = tensor([200.0, 0.0, 0.0]).view(1, 3, 1, 1, 1).requires_grad_()
    log_share = group_log_probabilities(logits, (1, 2))[0, 1].squeeze()
    assert log_share.item() == pytest.approx(math.log(2) - 200)
    log_share.backward()
    torch.testing.assert_close(logits.grad.flatten(), tensor([-1.0, 0.5, 0.5]))  # type: ignore[union-attr]


def test_loss_by_hand() -> None:
    """Four voxels: labels 0, 1, ignored, 1; −(log ½ + log ¾ + log ¼) / 3."""
    shares = tensor([[0.5, 0.25, 0.9, 0.75], [0.5, 0.75, 0.1, 0.25]]).view(1, 2, 1, 1, 4)
    labels = tensor([0, 1, 9, 1]).view(1, 1, 1, 1, 4)
    expected = -(math.log(0.5) + math.log(0.75) + math.log(0.25)) / 3
    assert group_loss(shares.log(), labels, ignore_label=9).item() == pytest.approx(expected, rel=1e-6)


def test_loss_of_known_labels_by_hand() -> None:
    """Two cases of two voxels. The first has weight 0.8, no annotation of group 2, and c = ¼ in its second voxel.
    In the second everything is annotated, and its second voxel has c = 0."""
    first, second = [[0.2, 0.5], [0.3, 0.3], [0.5, 0.2]], [[0.6, 0.1], [0.1, 0.2], [0.3, 0.7]]
    shares = tensor([first, second]).view(2, 3, 1, 1, 2)
    labels = tensor([[0, 1], [2, 0]]).view(2, 1, 1, 1, 2)
    confidence = tensor([[1.0, 0.25], [1.0, 0.0]]).view(2, 1, 1, 1, 2)
    class_weight = tensor([[0.8, 0.8, 0.0], [1.0, 1.0, 1.0]])
    expected = -(0.8 * math.log(0.2 + 0.5) + 0.8 * 0.25 * math.log(0.3) + math.log(0.3)) / 4
    found = group_loss(shares.log(), labels, 9, confidence, class_weight)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    everything = group_loss(shares.log(), labels, 9, torch.ones_like(confidence), torch.ones_like(class_weight))
    assert torch.equal(everything, group_loss(shares.log(), labels, 9))


def test_nothing_to_learn_where_all_is_ignored() -> None:
    logits = torch.randn(1, 4, 2, 2, 2, requires_grad=True)
    loss = group_loss(group_log_probabilities(logits, (2, 2)), torch.full((1, 1, 2, 2, 2), 2), ignore_label=2)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_coarse_assignment_is_compared_with_the_label_at_its_voxels_centres() -> None:
    labels = torch.zeros(1, 1, 1, 3, 6, dtype=torch.int16)
    labels[0, 0, 0, 1, 4] = 1  # the centre of the second of two coarse voxels of 1 x 3 x 3
    shares = tensor([[0.8, 0.4], [0.2, 0.6]]).view(1, 2, 1, 1, 2)
    expected = -(math.log(0.8) + math.log(0.6)) / 2
    assert group_loss(shares.log(), labels, ignore_label=2).item() == pytest.approx(expected, rel=1e-6)
