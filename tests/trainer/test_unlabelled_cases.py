"""Which cases have no labels, and how often each case is drawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnunetv2_dale.trainer.unlabelled_cases import class_shares, drawn_equally, first_few, unlabelled_cases


class SlicesRead:
    """A label map on disk that counts the slices read of it."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.shape, self.read = labels, labels.shape, 0

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        part = self.labels[key]
        self.read += part.shape[1]
        return part


def dataset(**label_maps: Any) -> SimpleNamespace:
    return SimpleNamespace(identifiers=list(label_maps), load_case=lambda case: (None, label_maps[case], None, {}))


def test_the_whole_label_map_decides() -> None:
    all_ignored = np.full((1, 70, 4, 4), 2)
    last_voxel, sparse = all_ignored.copy(), all_ignored.copy()
    last_voxel[0, -1, -1, -1] = 0
    sparse[0, 30] = 1
    cases = dataset(none=all_ignored, last=last_voxel, sparse=sparse, full=np.zeros((1, 70, 4, 4)))
    assert unlabelled_cases(cases, ignore_label=2) == ["none"]
    assert unlabelled_cases(cases, ignore_label=3) == []


def test_class_shares_by_hand() -> None:
    """Of labels −1 0 0 1, 2 2 9 9 and 1 1 1 1 with 9 ignored, over the first two: 3, 1 and 2 of 6."""
    maps = ([-1, 0, 0, 1], [2, 2, 9, 9], [1, 1, 1, 1])
    cases = dataset(**{name: np.array(labels).reshape(1, 1, 2, 2) for name, labels in zip("abc", maps, strict=True)})
    assert class_shares(cases, "ab", classes=3) == pytest.approx((3 / 6, 1 / 6, 2 / 6))


def test_labels_that_are_all_ignored_have_classes_alike() -> None:
    assert class_shares(dataset(a=np.full((1, 1, 2, 2), 9)), "a", classes=4) == (0.25,) * 4


def test_of_a_labelled_case_only_the_first_slices_are_read() -> None:
    labelled, without = SlicesRead(np.zeros((1, 300, 2, 2))), SlicesRead(np.full((1, 300, 2, 2), 9))
    assert unlabelled_cases(dataset(a=labelled, b=without), ignore_label=9) == ["b"]
    assert (labelled.read, without.read) == (32, 300)


@pytest.mark.parametrize(
    ("labelled", "unlabelled", "share"),
    [
        *[(8, 56, 0.5), (16, 48, 0.5), (1, 1, 0.5), (1, 400, 0.5), (50, 10, 0.5), (8, 56, 0.25), (7, 61, 0.8)],
        *[(13, 5, 0.1), (50, 50, 0.02), (64, 16, 0.05), (16, 64, 0.95)],
    ],
)
def test_the_share_of_labelled_draws(labelled: int, unlabelled: int, share: float) -> None:
    first, second = [f"l{number}" for number in range(labelled)], [f"u{number}" for number in range(unlabelled)]
    drawn = drawn_equally(first, second, share)
    assert set(drawn) == {*first, *second}
    assert sum(case in first for case in drawn) / len(drawn) == pytest.approx(share, abs=0.03)
    for kind in (first, second):
        assert len({drawn.count(case) for case in kind}) == 1


def test_names_for_a_message() -> None:
    assert first_few(["b", "a"]) == "a, b"
    assert first_few(["d", "b", "a", "c"]) == "a, b, c, …"
