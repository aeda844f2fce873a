"""One label out of several readers', by hand and by the equations of STAPLE."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.readers.consensus import agreement_with, comparisons, consensus_of

ROW = np.array([[[0, 1, 1, 2, 2, 0]], [[0, 1, 2, 2, 1, 0]], [[0, 1, 1, 0, 0, 0]]], np.int16)[:, None]  # of three


def test_a_vote_by_hand() -> None:
    label, ties = consensus_of(list(ROW), "majority")
    np.testing.assert_array_equal(label, [[[0, 1, 1, 2, 0, 0]]])  # 2, 1 and 0 are a tie
    assert ties == 1
    np.testing.assert_allclose(agreement_with(label, list(ROW)), [[[1, 1, 2 / 3, 2 / 3, 1 / 3, 1]]])


def test_two_readers_that_differ_agree_on_background() -> None:
    label, ties = consensus_of(list(ROW[:2]), "majority")
    np.testing.assert_array_equal(label, [[[0, 1, 0, 2, 0, 0]]])
    assert ties == 2
    np.testing.assert_allclose(agreement_with(label, list(ROW[:2])), [[[1, 1, 0, 1, 0, 1]]])


def test_staple_against_its_equations() -> None:
    """Three readers, one of them careless; expectation and maximisation written out (Warfield et al. 2004)."""
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), [300, 200, 100])
    readers = []
    for wrong in (0.05, 0.1, 0.5):
        drawn = truth.copy()
        at = random.random(truth.size) < wrong
        drawn[at] = random.integers(0, 3, at.sum())
        readers.append(drawn)
    prior = np.bincount(np.concatenate(readers), minlength=3) / (3 * truth.size)
    votes = np.array([[(each == value) for value in range(3)] for each in readers]).astype(float)  # (R, K, N)
    chance = votes.sum(0) / 3
    for _ in range(200):
        confusion = np.einsum("rkn,tn->rkt", votes, chance) / chance.sum(1)
        likely = prior[:, None] * np.prod(np.einsum("rkn,rkt->rtn", votes, confusion), axis=0)
        chance = likely / likely.sum(0)
    maps = [each.astype(np.int16)[None, None] for each in readers]
    label, _ = consensus_of(maps, "staple")
    np.testing.assert_array_equal(label.ravel(), chance.argmax(0))
    assert np.any(label != consensus_of(maps, "majority")[0])


def test_the_signed_distance_of_two_boxes_by_hand() -> None:
    """A box of 4 x 4 x 4 mm in one of 8 x 8 x 8 mm: every face of both lies 2 mm from the other or further."""
    anna, ben = np.zeros((1, 12, 12), np.int16), np.zeros((1, 12, 12), np.int16)
    anna[0, 2:10, 2:10], ben[0, 4:8, 4:8] = 1, 1
    carl = np.zeros_like(anna)
    found = list(
        comparisons("c", {"anna": anna, "ben": ben, "carl": carl}, ben, {"organ": (1,), "other": (2,)}, (5, 1, 1))
    )
    assert [(each.first, each.second) for each in found] == [
        *(("anna", "ben"), ("anna", "carl"), ("ben", "carl")),
        *(("anna", "consensus"), ("ben", "consensus"), ("carl", "consensus")),
    ]
    first = found[0]
    assert first.dice == pytest.approx(2 * 16 / (64 + 16))
    assert first.distance_mm is not None
    assert 2 < first.distance_mm < 2 * np.sqrt(2)
    assert (first.is_far, found[4].is_far, found[4].distance_mm) == (True, False, 0)
    assert (found[1].dice, found[1].distance_mm, found[1].is_far) == (0, None, True)
