"""Every form a dataset of nnU-Net has: regions, the ignore label, pictures; and soft borders, which are no errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tests.audit.fixtures import (
    ERRORS,
    audit_of,
    ellipsoid,
    grown,
    judge,
    make_study,
    save_probabilities,
    wobbly,
    write_study,
)
from tests.datasets import (
    CLASSES,
    ELLIPSOIDS,
    change_description,
    ellipsoids,
    finish_results,
    read_volume,
    write_raw_dataset,
    write_results,
    write_volume,
)

CASES = 16


def test_regions(tmp_path: Path) -> None:
    raw, (folder,) = make_study(tmp_path, {3: "wider", 6: "missed_object"}, CASES)
    labels = {"background": 0, "whole": [1, 2], "small": [2]}
    change_description(raw / ELLIPSOIDS, labels=labels, regions_class_order=[1, 2])
    finish_results(folder, raw / ELLIPSOIDS, [(1, 2), (2,)])
    audit = audit_of(folder, tmp_path / "audit")
    found = {case["case"]: case["findings"] for case in audit["cases"] if case["findings"]}
    assert set(found) == {"case_03", "case_06"}
    assert any(each["label"] == "(1, 2)" and "region (1, 2) (whole)" in each["sentence"] for each in found["case_03"])
    assert all(each["kind"] != "exchanged" for each in found["case_06"])


def test_what_is_ignored_is_no_error(tmp_path: Path) -> None:
    raw, (folder,) = make_study(tmp_path, {3: "wider"}, CASES)
    change_description(raw / ELLIPSOIDS, labels=CLASSES | {"ignore": 3})
    half = ellipsoids(5)
    half[:, 20:] = 3  # one half of a case was never labelled
    write_volume(half, raw / ELLIPSOIDS / "labelsTr" / "case_05.nii.gz")
    finish_results(folder, raw / ELLIPSOIDS)
    audit = audit_of(folder, tmp_path / "audit")
    assert [case["case"] for case in audit["cases"] if case["score"] >= 0.5] == ["case_03"]


def test_four_fifths_of_every_label_ignored(tmp_path: Path) -> None:
    """nnU-Net #1821: four of five rows of every label are ignored. The wrong one still leads."""
    raw, (folder,) = make_study(tmp_path, {3: "wider"}, CASES)
    change_description(raw / ELLIPSOIDS, labels=CLASSES | {"ignore": 3})
    for file in sorted((raw / ELLIPSOIDS / "labelsTr").iterdir()):
        label = read_volume(file)
        label[:, np.arange(label.shape[1]) % 5 > 0] = 3
        write_volume(label, file)
    finish_results(folder, raw / ELLIPSOIDS)
    first, *others = audit_of(folder, tmp_path / "audit")["cases"]
    assert first["case"] == "case_03"
    assert first["score"] >= 0.5 > others[0]["score"]
    assert "wider" in [found["kind"] for found in first["findings"]]


def test_pictures_are_measured_in_pixels(tmp_path: Path) -> None:
    y, x = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    distance = np.hypot(y - 30, x - 34)
    labels, pictures, drawn = {}, {}, {}
    for number in range(CASES):
        name, radius = f"case_{number:02d}", 10 + number % 4
        noise = ndimage.gaussian_filter(np.random.default_rng(number).standard_normal((64, 64)), 2)
        labels[name] = (distance <= radius + 4 * (number == 7)).astype(np.uint8)
        pictures[name] = [(100 + 80 * (distance <= radius)).astype(np.uint8)]
        drawn[name] = (distance + 0.8 * noise / noise.std() <= radius).astype(np.uint8)
    named = {"labels": {"background": 0, "nodule": 1}, "channel_names": {"0": "grey"}, "file_ending": ".png"}
    raw = write_raw_dataset(tmp_path / "raw" / ELLIPSOIDS, labels, pictures, **named)
    place = tmp_path / "results" / ELLIPSOIDS / "nnUNetTrainer__nnUNetPlans__2d"
    folder = write_results(place, raw, drawn, regions=[1])
    audit = audit_of(folder, tmp_path / "audit")
    first = audit["cases"][0]
    assert first["case"] == "case_07"
    (found,) = first["findings"]
    assert (found["kind"], found["unit"]) == ("wider", "px")
    assert found["size"] == pytest.approx(4, abs=1)
    assert [case["score"] >= 0.5 for case in audit["cases"][1:]] == [False] * (CASES - 1)


def redraw(folder: Path, number: int, labels: NDArray[np.uint8]) -> None:
    write_volume(labels, next(folder.glob(f"fold_*/validation/case_{number:02d}.nii.gz")))


@pytest.mark.parametrize("with_npz", [False, True], ids=["two referees", "probabilities"])
def test_a_soft_border_ranks_below_a_wrong_one(with_npz: bool, tmp_path: Path) -> None:
    """Half of the cases have soft borders, which every network draws elsewhere; one sharp label is wrong."""
    raw, folders = make_study(tmp_path, {4: "wider"}, 24, referees=2)
    for referee, folder in enumerate(folders):
        for number in range(1, 24, 2):
            redraw(folder, number, wobbly(ellipsoids(number), 1000 * (referee + 1) + number, amount=2.5))
        finish_results(folder, raw / ELLIPSOIDS)
        if with_npz:
            save_probabilities(folder)
    audit = audit_of(folders, tmp_path / "audit")
    assert audit["cases"][0]["case"] == "case_04"
    soft = [case["score"] for case in audit["cases"] if int(case["case"][-2:]) % 2]
    assert audit["cases"][0]["score"] > max(soft) + 0.2
    assert sum(score >= 0.5 for score in soft) <= 1


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_each_kind_alone_is_named(kind: str, tmp_path: Path) -> None:
    first = audit_of(make_study(tmp_path, {6: kind}, 14)[1], tmp_path / "audit")["cases"][0]
    assert first["case"] == "case_06"
    assert first["findings"][0]["kind"] == kind, first


def test_a_habit_of_all_networks_is_no_finding(tmp_path: Path) -> None:
    """Every network draws label 1 narrower by 2 mm than the readers do."""
    raw, (folder,) = make_study(tmp_path, {}, CASES)
    habit: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = lambda labels: grown(labels, 1, -2.0)  # noqa: E731
    for number in range(CASES):
        redraw(folder, number, habit(wobbly(ellipsoids(number), number)))
    finish_results(folder, raw / ELLIPSOIDS)
    audit = audit_of(folder, tmp_path / "audit")
    assert max(case["score"] for case in audit["cases"]) < 0.5


def discs(shape: tuple[int, int, int], radius: float) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """One round object near the middle of the image, as a polyp or a prostate, and where networks find it."""
    rng = np.random.default_rng(1)
    labels, predictions = {}, {}
    for number in range(20):
        middle = (shape[0] // 2, 18 + number % 3, 20)
        label = ellipsoid(shape, middle, (radius / 2, radius, radius)).astype(np.uint8)
        labels[f"c{number:02d}"] = label
        predictions[f"c{number:02d}"] = np.roll(label, tuple(rng.integers(-1, 2, 2)), (1, 2))
    return labels, predictions


@pytest.mark.parametrize("depth", [1, 12], ids=["slice", "volume"])
def test_a_moved_round_object_is_shifted_and_not_flipped(depth: int, tmp_path: Path) -> None:
    labels, predictions = discs((depth, 44, 48), 10)
    labels["c03"] = np.roll(predictions["c03"], 9, 2)
    first = judge(write_study(tmp_path, labels, predictions, {"background": 0, "nodule": 1}))[0].audited
    (found,) = first.findings
    assert (first.case, found.kind, found.unit) == ("c03", "shifted", "mm")
    assert found.size == pytest.approx(9, abs=0.3)


@pytest.mark.parametrize("depth", [1, 12], ids=["slice", "volume"])
def test_an_object_with_nothing_in_common_that_a_move_explains_is_shifted(depth: int, tmp_path: Path) -> None:
    labels, predictions = discs((depth, 44, 48), 8)
    labels["c03"] = np.roll(predictions["c03"], (-7, 17), (1, 2))
    first = judge(write_study(tmp_path, labels, predictions, {"background": 0, "nodule": 1}))[0].audited
    (found,) = first.findings
    assert (first.case, found.kind) == ("c03", "shifted")
    assert found.size == pytest.approx(np.hypot(7, 17), abs=0.3)
    assert "x +17.0, y -7.0" in found.sentence


@pytest.mark.parametrize("depth", [1, 12], ids=["slice", "volume"])
@pytest.mark.parametrize("missed", [False, True], ids=["extra_object", "missed_object"])
def test_a_small_part_is_no_border(depth: int, missed: bool, tmp_path: Path) -> None:
    """A part of 7 % of the organ, far from it; the organ itself is right."""
    shape = (depth, 44, 48)
    labels, predictions = discs(shape, 8)
    stray = ellipsoid(shape, (depth // 2, 36, 40), (1.5, 3, 3))
    (predictions if missed else labels)["c05"][stray] = 1
    first = judge(write_study(tmp_path, labels, predictions, {"background": 0, "prostate": 1}))[0].audited
    (found,) = first.findings
    assert (first.case, found.kind) == ("c05", "missed_object" if missed else "extra_object")
    assert stray[found.voxel]


def test_a_stroke_of_a_class_that_the_case_lacks_has_a_finding(tmp_path: Path) -> None:
    shape = (12, 44, 48)
    labels, predictions = discs(shape, 12)
    for number in range(1, 20, 2):
        for each in (labels, predictions):
            each[f"c{number:02d}"][ellipsoid(shape, (6, 18 + number % 3, 18), (3, 7, 7))] = 2
    stray = ellipsoid(shape, (6, 36, 40), (1.5, 3, 3))
    labels["c08"][stray] = 2
    first = judge(write_study(tmp_path, labels, predictions, {"background": 0, "liver": 1, "tumour": 2}))[0].audited
    (found,) = first.findings
    assert (first.case, found.label, found.kind) == ("c08", "2", "extra_object")
    assert stray[found.voxel]
    assert found.score > 0.5
