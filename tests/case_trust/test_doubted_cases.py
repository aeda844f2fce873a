"""What the ways to look at cases find together: from sums to numbers and sentences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nnunetv2_dale.case_trust.doubted_cases import (
    EXTRA,
    LARGE,
    MISSING,
    SMALL,
    contrasts,
    displacements,
    doubted_cases,
    of_all_ranks,
)

MANY = 1000.0  # voxels of contour, and faces


def sums(*cases: tuple[float, float]) -> Tensor:
    """(N, 12, 2) of cases with a displacement and a contrast of label 1; the background has the opposite."""
    rows = torch.zeros(len(cases), 12, 2)
    for row, (delta, contrast) in zip(rows, cases, strict=True):
        row[:4] = torch.tensor([[-delta, delta], [1.0, 1.0], [contrast, contrast], [1.0, 1.0]]) * MANY
    rows[:, 4], rows[:, 5] = 80.0, 100.0
    return rows


def look(rows: Tensor, regions: bool = False) -> tuple[Tensor, list[str]]:
    return doubted_cases(rows, 0.4, 0.75, regions, 5)


def spread(number: int) -> Tensor:
    """Around 0, by .2 at most."""
    return torch.linspace(-0.2, 0.2, number)


def agreeing(number: int, contrast: float) -> list[tuple[float, float]]:
    return [(float(each), contrast + float(each) / 10) for each in spread(number)]


def test_wide_cases_are_doubted_in_their_own_voxels_alone() -> None:
    """Their borders show nothing, as those of moved labels; but it is known on which side they are off."""
    wide = [(1.8 + float(each), 0.9 + float(each) / 10) for each in spread(8)]
    doubt, (sentence,) = look(sums(*agreeing(12, 1.6), *wide))
    assert doubt[12:, LARGE, 1].min() > 0.99
    assert doubt[12:, SMALL, 1].max() < 0.01
    assert not doubt[:12].any()
    assert not doubt[:, :, 0].any()
    assert sentence == (
        "label 1: 8 of 20 cases are drawn 1.8 voxels wider than the others, and are down-weighted (100%): "
        "their borders have a contrast of 0.90 in the image, the others' 1.60"
    )


def test_moved_cases_are_doubted_on_both_sides() -> None:
    doubt, (sentence,) = look(sums(*agreeing(12, 1.6), *agreeing(8, 0.9)))
    assert (doubt[12:, [LARGE, SMALL], 1] == 1).all()
    assert not doubt[:12].any()
    assert sentence.startswith(
        "label 1: 8 of 20 cases are drawn where the image shows no border, and are down-weighted (100%)"
    )


def test_objects_are_told_by_themselves() -> None:
    rows = sums(*agreeing(20, 1.6))
    rows[2, 6:9, 1] = torch.tensor([60.0, 40.0, 40.0])  # extra, a contrast of 1
    rows[3, 9:12, 1] = torch.tensor([60.0, 64.0, 40.0])  # missing, of 1.6
    doubt, sentences = look(rows)
    assert doubt.nonzero().tolist() == [[2, EXTRA, 1], [3, MISSING, 1]]
    assert [sentence.split(" objects")[0] for sentence in sentences] == [
        "label 1: 1 of 20 cases have",
        "label 1: 1 of 20 cases lack",
    ]


@pytest.mark.parametrize("probability", [0.39, float("nan")], ids=["hardly found", "no voxels"])
def test_no_way_looks_at_a_class_before_it_is_learned(probability: float) -> None:
    wide = [(1.8 + float(each), 0.9) for each in spread(8)]
    rows = sums(*agreeing(12, 1.6), *wide)
    rows[2, 9:12, 1] = torch.tensor([60.0, 64.0, 40.0])
    rows[:, 4, 1], rows[:, 5, 1] = (0, 0) if math.isnan(probability) else (100 * probability, 100)
    doubt, sentences = look(rows)
    assert not doubt.any()
    assert not sentences


def test_regions_have_no_background() -> None:
    wide = [(1.8 + float(each), 0.9) for each in spread(8)]
    doubt, sentences = look(sums(*agreeing(12, 1.6), *wide), regions=True)
    assert doubt[12:, SMALL, 0].min() > 0.99
    assert [sentence.split(":")[0] for sentence in sentences] == ["region 0", "region 1"]


@pytest.mark.parametrize(("row", "least"), [(0, 1.0), (2, 10.0)], ids=["displacement", "contrast"])
def test_of_what_a_case_has_hardly_shown_nothing_is_known(row: int, least: float) -> None:
    """It is not pulled to 0 either."""
    rows = torch.zeros(3, 12, 1)
    rows[:, row, 0] = torch.tensor([1.0, 2.0, 3.0])
    rows[:, row + 1, 0] = torch.tensor([0.0, 0.99 * least, 1.01 * least])
    found = (displacements if row == 0 else contrasts)(rows)[:, 0].tolist()
    assert [math.isnan(each) for each in found] == [True, True, False]
    assert found[2] == pytest.approx(3 / (1.01 * least))


def test_a_class_that_a_case_has_not_shown_is_trusted() -> None:
    wide = [(1.8 + float(each), 0.9) for each in spread(8)]
    rows = sums(*agreeing(12, 1.6), *wide)
    rows[15, :4] = 0
    doubt, _ = look(rows)
    assert not doubt[15].any()
    assert doubt[14].any()


def test_sums_of_all_ranks() -> None:
    one = torch.ones(12, 2)
    merged = of_all_ranks([{"b": one, "a": 2 * one}, {}, {"b": 3 * one, "c": one}])
    assert {case: float(each[0, 0]) for case, each in merged.items()} == {"a": 2, "b": 4, "c": 1}
    assert list(merged) == ["a", "b", "c"]
