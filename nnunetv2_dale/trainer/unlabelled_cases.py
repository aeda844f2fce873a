"""Which training cases have no labels: those whose label map is all ignore label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

_SLICES = 32  # read at a time, so that a labelled case is told by its first slices


def unlabelled_cases(dataset: Any, ignore_label: int) -> list[str]:
    """Return the cases of a preprocessed dataset whose every voxel has the ignore label.

    The whole label map decides, not a crop of it: a crop of a labelled case can be all ignore label, and one of an
    unlabelled case has background where it reaches over the image's edge.

    Args:
        dataset: one of nnU-Net's, with `identifiers` and `load_case`.
    """
    return [case for case in dataset.identifiers if _is_all(dataset.load_case(case)[1], ignore_label)]


def drawn_equally(labelled: Sequence[str], unlabelled: Sequence[str], labelled_share: float) -> list[str]:
    """Return the cases to draw from, each as often as it takes for `labelled_share` of the draws to be labelled.

    nnU-Net draws the cases of a batch from a list, all entries with the same probability. With few labelled cases most
    batches would have none.

    Args:
        labelled, unlabelled: neither empty.
    Returns:
        a list that holds every case at least once. Its labelled part is within 3 % of the share for up to 20 times as
        many cases of one kind as of the other.
    """
    odds = labelled_share / (1 - labelled_share) * len(unlabelled) / len(labelled)
    # of the number above 1: the nearest fraction of a small one is 0
    ratio = Fraction(max(odds, 1 / odds)).limit_denominator(20)
    more, fewer = ratio.numerator, ratio.denominator
    return [*labelled] * (more if odds > 1 else fewer) + [*unlabelled] * (fewer if odds > 1 else more)


def first_few(cases: Iterable[str]) -> str:
    """Write up to three names for a message."""
    named = sorted(cases)
    return ", ".join(named[:3]) + (", …" if len(named) > 3 else "")


def _is_all(labels: Any, value: int) -> bool:
    """Whether a (1, Z, Y, X) array, in memory or on disk, holds nothing else."""
    return all(
        bool((np.asarray(labels[:, start : start + _SLICES]) == value).all())
        for start in range(0, labels.shape[1], _SLICES)
    )


def class_shares(dataset: Any, labelled: Iterable[str], classes: int) -> tuple[float, ...]:
    """Return part of the labelled voxels of some cases that each class has, background first; all alike without a
    voxel.

    Args:
        dataset: one of nnU-Net's; a label below 0 is background outside of the image.
        classes: with background; a label from `classes` on is the ignore label.
    """
    counts = np.zeros(classes)
    for case in labelled:
        labels = np.asarray(dataset.load_case(case)[1][:]).clip(0)
        counts += np.bincount(labels[labels < classes].astype(np.int64), minlength=classes)
    return tuple((counts / counts.sum() if counts.any() else np.full(classes, 1 / classes)).tolist())
