"""The file of displacements: what comes back, what it says, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from nnunetv2_dale.nnunet_files.displacement_file import (
    FILE,
    TABLE,
    read_displacements,
    read_label_checksums,
    write_displacements,
)

STATE = {
    "case b": [[0.5, -1.0], [0.5, 4.0], [0.0, 90.0], [9.0, 60.0], *[[0.0, 3.0]] * 8],
    "case a": [[0.0, 2.0], [1.0, 8.0], [50.0, 3.0], [40.0, 0.0], *[[1.0, 0.0]] * 8],
}
LABELS, CLASSES = {"case a": "0a1b", "case c": "ffff"}, ["background", "hippocampus, head"]


def test_it_comes_back(tmp_path: Path) -> None:
    write_displacements(tmp_path, STATE, {}, CLASSES)
    write_displacements(tmp_path, STATE, LABELS, CLASSES)  # the next checkpoint
    assert read_displacements(tmp_path) == STATE
    assert read_label_checksums(tmp_path) == LABELS
    assert {path.name for path in tmp_path.iterdir()} == {FILE, TABLE}


def test_the_table_names_the_classes_that_a_case_has_shown(tmp_path: Path) -> None:
    write_displacements(tmp_path, STATE, LABELS, CLASSES)
    with (tmp_path / TABLE).open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["case", "class", "displacement", "border_contrast"],
        ["case a", "background", "0.0", "1.25"],
        ["case a", "hippocampus, head", "0.25", ""],
        ["case b", "hippocampus, head", "-0.25", "1.5"],
    ]


def test_it_says_how_far_each_case_is_off(tmp_path: Path) -> None:
    write_displacements(tmp_path, STATE, LABELS, CLASSES)
    cases = json.loads((tmp_path / FILE).read_text())["cases"]
    assert {case: each["displacement"] for case, each in cases.items()} == {
        "case a": [0.0, 0.25],
        "case b": [None, -0.25],
    }
    assert {case: each["border_contrast"] for case, each in cases.items()} == {
        "case a": [1.25, None],
        "case b": [None, 1.5],
    }


def test_a_file_from_before_there_were_contrasts_knows_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"cases": {"a": {"displacement": [0.5], "excess": [1], "contour": [2]}}}')
    assert read_label_checksums(tmp_path) == {}
    assert read_displacements(tmp_path) == {"a": [[1], [2], *[[0.0]] * 10]}


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_displacements(tmp_path) is None
    assert read_label_checksums(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "{}", '{"cases": [1]}', '{"cases": {"a": {"excess": [NaN], "contour": [1]}}}'])
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RuntimeError, match=r"case_displacement\.json is damaged .* delete it"):
        read_displacements(tmp_path)
