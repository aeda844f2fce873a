"""Folds for splits_final.json."""

from __future__ import annotations

import pytest
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_dale.convert.splits import fixed_split, folds_by_group, random_folds


def test_single_cases_give_nnunets_own_folds() -> None:
    names = [f"case{number:02d}" for number in range(13)]
    ours = random_folds(names)
    theirs = generate_crossval_split(names)
    assert [fold["val"] for fold in ours] == [[str(name) for name in fold["val"]] for fold in theirs]
    assert [fold["train"] for fold in ours] == [[str(name) for name in fold["train"]] for fold in theirs]


def test_a_patient_is_on_one_side_and_every_case_is_validated_once() -> None:
    group_of = {f"p{patient}_n{n}": f"p{patient}" for patient in range(11) for n in range(1 + patient % 3)}
    folds = folds_by_group(group_of)
    assert sorted(name for fold in folds for name in fold["val"]) == sorted(group_of)
    for fold in folds:
        assert sorted([*fold["train"], *fold["val"]]) == sorted(group_of)
        assert not {group_of[name] for name in fold["train"]} & {group_of[name] for name in fold["val"]}


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="found 1"):
        folds_by_group({"a": "p", "b": "p"})


def test_a_fixed_split_is_one_fold() -> None:
    assert fixed_split(["b", "a"], ["c"]) == [{"train": ["a", "b"], "val": ["c"]}]
