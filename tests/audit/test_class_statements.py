"""What is said of a class at once: nobody drew it in a part of the cases, or the networks do not know it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnunetv2_dale.audit.findings import read_audit
from nnunetv2_dale.audit.referees import audit_task
from tests.audit.fixtures import audit_of, ellipsoid, judge, write_study

SHAPE = (12, 40, 44)
NAMES = {"background": 0, "liver": 1, "kidney": 2}
Arrays = dict[str, NDArray[Any]]


def liver_and_kidney(count: int) -> tuple[Arrays, Arrays]:
    """Labels, and predictions whose objects lie up to a voxel off."""
    rng = np.random.default_rng(0)
    labels, predictions = {}, {}
    for number in range(count):
        label = np.zeros(SHAPE, np.int16)
        label[ellipsoid(SHAPE, (6, 12 + number % 4, 14), (4, 7, 7))] = 1
        label[ellipsoid(SHAPE, (6, 28, 30), (4, 7, 7))] = 2
        found = np.zeros_like(label)
        for value in (1, 2):
            found[np.roll(label == value, tuple(rng.integers(-1, 2, 2)), (1, 2))] = value
        labels[f"{number:03d}"], predictions[f"{number:03d}"] = label, found
    return labels, predictions


def without(array: NDArray[Any], *values: int) -> NDArray[Any]:
    return np.where(np.isin(array, values), 0, array)


def test_networks_that_find_nothing_judge_nothing(tmp_path: Path, capsys) -> None:
    labels, predictions = liver_and_kidney(10)
    folder = write_study(tmp_path, labels, {case: without(each, 1, 2) for case, each in predictions.items()}, NAMES)
    audit = audit_of(folder, tmp_path / "audit")
    assert [(each["label"], each["kind"]) for each in audit["classes"]] == [("1", "not_judged"), ("2", "not_judged")]
    assert all(sorted(each["cases"]) == sorted(labels) for each in audit["classes"])
    assert (audit["expected"]["judged_cases"], audit["expected"]["wrong_cases"]) == (0, 0.0)
    assert not any(case["judged"] or case["findings"] for case in audit["cases"])
    said = capsys.readouterr().out
    assert "none of them could be judged" in said
    assert "wrong labels expected" not in said
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert "none of them could be judged" in page
    assert "kidney) could not be judged in 10 cases" in page
    assert read_audit(tmp_path / "audit" / "audit.json").to_json() == (tmp_path / "audit" / "audit.json").read_text()


def test_a_class_that_one_fold_knows_is_judged_there(tmp_path: Path) -> None:
    labels, predictions = liver_and_kidney(20)
    known = [f"{number:03d}" for number in range(20) if number % 5 == 0]
    found = {case: each if case in known else without(each, 2) for case, each in predictions.items()}
    labels["007"] = without(labels["007"], 1)  # a liver is judged in every fold
    audit = audit_of(write_study(tmp_path, labels, found, NAMES), tmp_path / "audit")
    (statement,) = audit["classes"]
    assert (statement["class"], statement["label"], statement["kind"]) == ("kidney", "2", "not_judged")
    assert set(statement["cases"]) == set(labels) - set(known)
    assert audit["cases"][0]["case"] == "007"
    assert [each["label"] for each in audit["cases"][0]["findings"]] == ["1"]
    assert audit["expected"]["judged_cases"] == 20
    assert all(case["score"] < 0.2 for case in audit["cases"][1:])


def test_a_class_that_a_quarter_lacks_is_one_statement(tmp_path: Path) -> None:
    """nnU-Net #2517: 25 of 100 labels lack a class; two labels of the other are wrong, and lead."""
    labels, predictions = liver_and_kidney(40)
    lacking = [f"{number:03d}" for number in range(0, 40, 4)]
    labels |= {case: without(labels[case], 2) for case in lacking}
    labels["008"] = without(labels["008"], 1)  # empty now: its liver is missing, its kidney as in the others
    labels["011"] = np.roll(labels["011"], 6, 2)
    audit = audit_of(write_study(tmp_path, labels, predictions, NAMES), tmp_path / "audit")
    (statement,) = audit["classes"]
    assert (statement["label"], statement["kind"], statement["cases"]) == ("2", "not_annotated", lacking)
    assert {case["case"] for case in audit["cases"][:2]} == {"008", "011"}
    assert all(case["score"] > 0.5 for case in audit["cases"][:2])
    found = {case["case"]: [(each["label"], each["kind"]) for each in case["findings"]] for case in audit["cases"]}
    assert found["008"] == [("", "empty")]
    assert not any(found[case] for case in lacking if case != "008")


def test_a_single_lost_object_is_no_statement(tmp_path: Path) -> None:
    labels, predictions = liver_and_kidney(20)
    labels |= {case: without(labels[case], 2) for case in ("003", "004")}
    judged = judge(write_study(tmp_path, labels, predictions, NAMES))
    assert {each.audited.case for each in judged[:2]} == {"003", "004"}
    assert all(each.audited.findings[0].kind == "missed_object" for each in judged[:2])


def test_what_is_empty_on_purpose_is_neither_wrong_nor_usual(tmp_path: Path) -> None:
    """TotalSegmentator #582: half the cases are empty on both sides. The rest is judged as if it were alone."""
    labels, predictions = liver_and_kidney(30)
    labels["004"] = np.roll(labels["004"], 6, 2)
    alone = judge(write_study(tmp_path / "alone", labels, predictions, NAMES))
    nothing = {f"empty_{number:02d}": np.zeros(SHAPE, np.int16) for number in range(30)}
    judged = judge(write_study(tmp_path / "both", labels | nothing, predictions | nothing, NAMES))
    scores = {each.audited.case: each.audited.score for each in judged}
    assert not any(scores[case] for case in nothing)
    assert [scores[each.audited.case] for each in alone] == pytest.approx([each.audited.score for each in alone])
    assert all(each.audited.judged for each in judged)


def test_what_confidence_csv_says_is_not_annotated_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cases, too few for the audit to see a habit in them: their missing kidney is no finding."""
    labels, predictions = liver_and_kidney(20)
    said = ["003", "012"]
    labels |= {case: without(labels[case], 2) for case in said}
    folder = write_study(tmp_path, labels, predictions, NAMES)
    found = audit_of(folder, tmp_path / "audit")
    assert {case["case"] for case in found["cases"] if case["findings"]} >= set(said)
    (raw,) = (tmp_path / "raw").iterdir()
    (raw / "confidence.csv").write_text("case,kidney\n" + "".join(f"{case},0\n" for case in said))
    audit = audit_of(folder, tmp_path / "audit", "--overwrite")
    (statement,) = audit["classes"]
    assert (statement["label"], statement["kind"], statement["cases"]) == ("2", "not_annotated", said)
    assert "as confidence.csv says" in statement["sentence"]
    assert not any(case["findings"] for case in audit["cases"] if case["case"] in said)
    assert "as confidence.csv says" in (tmp_path / "audit" / "audit.html").read_text()
    monkeypatch.setenv("nnUNet_raw", str(raw.parent))
    whole = shutil.copytree(raw / "labelsTr", tmp_path / "whole")  # of other labels the table says nothing
    tables = [audit_task([folder], references=place).open_classes for place in (None, raw / "labelsTr", whole)]
    assert tables == [dict.fromkeys(said, frozenset("2"))] * 2 + [{}]
