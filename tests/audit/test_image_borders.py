"""Which of two borders the image shows, and what follows for labels that lie far from their networks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from nnunetv2_dale.audit.components import Component
from nnunetv2_dale.audit.evidence import CaseEvidence
from nnunetv2_dale.audit.image_borders import ImageAtBorders, image_at_borders
from nnunetv2_dale.audit.null_model import AGAINST, chance_of, wrong_and_right
from nnunetv2_dale.audit.unusual import image_of_cases, unusual_class
from tests.audit.fixtures import ellipsoid
from tests.audit.test_unusual import displaced, evidence, study

SHAPE = (8, 16, 16)
OBJECT, MOVED = (ellipsoid(SHAPE, (4, 8, x), (3, 5, 5)) for x in (7, 9))


def by_loop(image: NDArray[np.float32], label: NDArray[np.bool_], referees: NDArray[np.bool_]) -> tuple[float, float]:
    """(sides, shown) of one channel, voxel by voxel."""
    found: dict[tuple[bool, bool], list[float]] = {}
    for place in itertools.product(*map(range, SHAPE)):
        for axis in range(3):
            after = tuple(index + (axis == other) for other, index in enumerate(place))
            if after[axis] < SHAPE[axis]:
                kind = bool(label[place] != label[after]), bool(referees[place] != referees[after])
                found.setdefault(kind, []).append(abs(float(image[place]) - float(image[after])))
    one, other, both = (np.mean(found[kind]) for kind in ((True, False), (False, True), (True, True)))
    alone = np.mean(found[True, False] + found[False, True])
    return float(np.log(one / other)), float(np.log(both / alone))


def test_against_a_loop_over_the_faces() -> None:
    image = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    found = image_at_borders(image[None], OBJECT, MOVED)
    assert found is not None
    assert (found.sides, found.shown) == pytest.approx(by_loop(image, OBJECT, MOVED), rel=1e-5)
    two = image_at_borders(np.stack([image, 7 * image + 3]), OBJECT, MOVED)
    assert two is not None
    assert two.sides == pytest.approx(found.sides, rel=1e-4)  # whatever the channels' units


def test_the_image_sides_with_the_border_that_it_shows() -> None:
    image = (OBJECT + 0.05 * np.random.default_rng(1).standard_normal(SHAPE)).astype(np.float32)[None]
    right, wrong = image_at_borders(image, OBJECT, MOVED), image_at_borders(image, MOVED, OBJECT)
    assert right is not None
    assert wrong is not None
    assert right.sides == pytest.approx(-wrong.sides)
    assert right.sides > 1


def test_where_there_is_nothing_to_compare() -> None:
    image = np.random.default_rng(0).normal(0, 1, (1, *SHAPE)).astype(np.float32)
    assert image_at_borders(image, OBJECT, OBJECT) is None
    assert image_at_borders(np.ones_like(image), OBJECT, MOVED) is None
    apart = image_at_borders(image, ellipsoid(SHAPE, (4, 4, 4), (2, 2, 2)), ellipsoid(SHAPE, (4, 12, 12), (2, 2, 2)))
    assert apart is not None
    assert np.isnan(apart.shown)


def test_the_chance_with_an_image_is_bayes_rule_by_hand() -> None:
    from scipy.stats import gamma, t

    rng = np.random.default_rng(0)
    z, e = np.concatenate([rng.standard_normal(90), np.full(10, 6.0)]), rng.standard_normal(100)
    e[90:95], e[95:] = 1.0, -AGAINST
    chance = chance_of(z, 12.0, image=e)
    wrong = gamma.pdf(z, 2, scale=2.5) * t.pdf(e + AGAINST, 5)
    hard, usual = gamma.pdf(z, 2, scale=2.5) * t.pdf(e, 5), t.pdf(z, 12) * t.pdf(e, 5)
    share = (chance.sum() + 1.0) / 120
    # the share of the hard ones solves hard = Σ chance of being hard / 120
    left = np.linspace(0, 0.3, 30001)[:, None]
    of_hard = left * hard / (share * wrong + left * hard + (1 - share - left) * usual)
    found = left[np.argmin(np.abs(of_hard.sum(axis=1) / 120 - left[:, 0])[1:]) + 1, 0]
    expected = share * wrong / (share * wrong + found * hard + (1 - share - found) * usual)
    assert chance[90:] == pytest.approx(expected[90:], abs=0.01)
    assert chance[95:].min() > 0.5 > chance[90:95].max()


@pytest.mark.parametrize("seed", range(5))
def test_hard_cases_whose_labels_the_image_shows_are_not_expected_to_be_wrong(seed: int) -> None:
    """Of 200 right labels 40 lie far from their networks: that alone would be 40 wrong ones."""
    rng = np.random.default_rng(seed)
    values = 0.5 * rng.standard_normal(200)
    values[:40] += rng.uniform(2, 6, 40)
    image = rng.standard_normal(200)
    assert wrong_and_right(values).chance.sum() > 30
    assert wrong_and_right(values, image).chance.sum() < 6
    image[:40] -= AGAINST
    assert 40 / 1.5 < wrong_and_right(values, image).chance.sum() < 40 * 1.5


def test_an_image_that_says_nothing_changes_nothing() -> None:
    values = 0.5 * np.random.default_rng(0).standard_normal(60)
    values[:6] += 4
    assert wrong_and_right(values, np.full(60, np.nan)).chance == pytest.approx(wrong_and_right(values).chance)


def with_images(shown: float = 0.3) -> list[CaseEvidence]:
    """Right labels whose image sides with them a little, as is usual."""
    rng, cases = np.random.default_rng(0), study()
    for case in cases:
        case.classes["1"] = replace(case.classes["1"], image=ImageAtBorders(float(rng.normal(0.1, 0.2)), shown))
    return cases


@pytest.mark.parametrize(("shown", "says"), [(0.3, True), (0.0, False)])
def test_only_borders_that_the_image_shows_count(shown: float, says: bool) -> None:
    cases = with_images(shown)
    cases[3] = evidence("wrong", displaced(1.0, 1.0))
    found = image_of_cases([unusual_class(cases, "1")])
    assert np.isfinite(found).sum() == (len(cases) - 1 if says else 0)
    assert np.isnan(found[3])  # without an image


def test_many_wrong_labels_do_not_change_what_the_image_usually_shows() -> None:
    cases = with_images()
    for number in range(16):  # of 40
        cases[number] = evidence(f"wrong {number}", displaced(1.0, 1.0))
        cases[number].classes["1"] = replace(cases[number].classes["1"], image=ImageAtBorders(-0.7, 0.3))
    found = image_of_cases([unusual_class(cases, "1")])
    assert found[:16].max() < -3
    assert np.abs(np.median(found[16:])) < 0.5


def test_a_label_without_a_border_of_its_own_is_not_acquitted() -> None:
    cases = with_images()
    cases[3] = evidence("missing", None)
    cases[3].classes["1"] = replace(cases[3].classes["1"], label_voxels=0)
    cases[4].classes["1"] = replace(cases[4].classes["1"], exchanged=(Component(900, (3, 3, 3), "2"),))
    assert np.isneginf(image_of_cases([unusual_class(cases, "1")])[[3, 4]]).all()
    z = np.where(np.arange(40) < 10, 6.0, 0.0)
    image = np.where(np.arange(40) < 5, -np.inf, 1.0)
    chance = chance_of(z, 12.0, image=image)
    assert chance[:5].min() > 0.9
    assert chance[5:10].max() < 0.5
