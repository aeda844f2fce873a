"""A label that would agree if it were turned."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.audit.orientation import best_orientation


def body() -> np.ndarray:
    labels = np.zeros((20, 20, 30), np.uint8)
    labels[2:6, 3:8, 4:20] = 1
    labels[9:12, 10:14, 22:28] = 2
    return labels


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda labels: labels[::-1], "flipped along z"),
        (lambda labels: labels[:, ::-1, ::-1], "flipped along y and x"),
        (lambda labels: labels.swapaxes(0, 1), "with axes z and y exchanged"),
        (lambda labels: np.roll(labels, 3, axis=0), "moved by 3 slices down"),
    ],
)
def test_the_change_is_found(change, words: str) -> None:
    found = best_orientation(change(body()), body())
    assert found is not None
    assert found.words == words
    assert found.agreement_turned == pytest.approx(1.0)
    assert found.agreement < 0.7


def test_an_upright_label_stays() -> None:
    assert best_orientation(body(), body()) is None
    assert best_orientation(np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)) is None


def test_a_large_volume_is_looked_at_coarsely() -> None:
    label = np.repeat(np.repeat(np.repeat(body(), 5, 0), 5, 1), 5, 2)
    found = best_orientation(label[::-1], label)
    assert found is not None
    assert found.words == "flipped along z"
