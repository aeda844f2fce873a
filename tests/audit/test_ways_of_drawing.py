"""Two ways of drawing: found where half of the labels are wide, and the image tells which half; else not."""

from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dale.audit.ways_of_drawing import right_way
from nnunetv2_dale.statistics.usual_values import Floats


def drawn(wrong: int, right: int, apart: float, shown: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Differences of wrong labels `apart` spreads above right ones, whose borders the image shows `shown` better."""
    rng = np.random.default_rng(seed)
    middles, image = np.repeat([apart / 2, -apart / 2], [wrong, right]), np.repeat([0.0, shown], [wrong, right])
    return rng.normal(middles, 1), rng.normal(image, 1)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("wrong", "right"), [(45, 55), (60, 40)])
def test_the_group_that_the_image_shows_is_right_whichever_is_larger(wrong: int, right: int, sign: int) -> None:
    wider, image = drawn(wrong, right, 5, 1.5)
    way = right_way(sign * wider, image)
    assert way is not None
    assert np.mean(way.cases == (np.arange(wrong + right) >= wrong)) > 0.97  # five spreads overlap a little
    assert way.middle == pytest.approx(sign * -2.5, abs=0.5)
    assert way.spread == pytest.approx(1, abs=0.3)
    seen = way.seen_from(sign * wider)
    assert abs(seen[wrong:].mean()) < 0.2
    assert sign * seen[:wrong].mean() == pytest.approx(5, abs=1.2)


@pytest.mark.parametrize(
    ("wrong", "right", "apart", "shown"),
    [
        (45, 55, 5, 0.0),  # the image does not tell
        (45, 55, 1, 1.5),  # one group
        (10, 90, 5, 1.5),  # a few wrong labels: the bulk is right
        (9, 11, 5, 1.5),  # too few cases
    ],
)
def test_else_there_is_one_way(wrong: int, right: int, apart: float, shown: float) -> None:
    assert right_way(*drawn(wrong, right, apart, shown)) is None


def test_right_labels_alone_are_hardly_ever_taken_for_two_ways() -> None:
    """Heavy tails, and an image that says something else of cases that are drawn wider."""
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(60):
        wider = rng.standard_t(3, 120)
        found += right_way(wider, rng.normal(-0.3 * wider, 1)) is not None
    assert found <= 1


def test_cases_that_cannot_be_compared_are_of_neither_group() -> None:
    wider, image = drawn(45, 55, 5, 1.5)
    wider[[0, 60]], image[[1, 61]] = np.nan, -np.inf
    way = right_way(wider, image)
    assert way is not None
    assert not way.cases[[0, 60]].any()
    assert way.cases[61]
    assert right_way(wider, np.full(100, np.nan)) is None
