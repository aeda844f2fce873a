"""Folds for `splits_final.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nnunetv2.utilities.crossval_split import generate_crossval_split

Fold = dict[str, list[str]]


def fixed_split(train: Iterable[str], val: Iterable[str]) -> list[Fold]:
    """Return the one fold of an official split: nnU-Net's fold 0 trains on `train` and validates on `val`."""
    return [{"train": sorted(train), "val": sorted(val)}]


def random_folds(names: Sequence[str], num_folds: int = 5) -> list[Fold]:
    """Return nnU-Net's own seeded folds, written down so that every run of every machine has the same.

    Raises:
        ValueError: fewer cases than folds.
    """
    return folds_by_group({name: name for name in names}, num_folds)


def folds_by_group(group_of: Mapping[str, str], num_folds: int = 5) -> list[Fold]:
    """Return folds in which no group (a patient) has cases on both sides.

    The groups are split by nnU-Net's seeded `generate_crossval_split`, so one case per group gives nnU-Net's own folds.

    Args:
        group_of: case name -> group.
        num_folds: how many.
    Raises:
        ValueError: fewer groups than folds.
    """
    groups = sorted(set(group_of.values()))
    if len(groups) < num_folds:
        raise ValueError(f"{num_folds} folds need at least {num_folds} cases or patients, found {len(groups)}")
    folds: list[Fold] = []
    for fold in generate_crossval_split(groups, n_splits=num_folds):
        validation = {str(group) for group in fold["val"]}
        folds.append(
            {
                "train": sorted(name for name, group in group_of.items() if group not in validation),
                "val": sorted(name for name, group in group_of.items() if group in validation),
            }
        )
    return folds
