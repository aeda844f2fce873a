"""Drawn displacements: wrong cases are found where they overlap with right ones, honest cases are trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.case_trust_toy import ROWS, WAYS, main, measure


def found(row: str, draws: int = 6) -> tuple[float | None, float | None]:
    wrong, right = measure(ROWS[row], draws)["the largest"]
    return wrong, right


@pytest.mark.parametrize(
    "row", ["cine MR, 45 % dilated", "50/25/25 of 64", "40/30/30, no border in the image", "60 % eroded"]
)
def test_wrong_cases_are_found(row: str) -> None:
    wrong, right = found(row)
    assert wrong is not None
    assert right is not None
    assert wrong >= 0.5
    assert right <= 0.1


@pytest.mark.parametrize(
    "row",
    [
        "clean: lognormal",
        "clean: t, 3 degrees of freedom",
        "clean: uniform",
        "honest: 30 % sick",
        "honest: three kinds of patients",
        "honest: two scanners",
    ],
)
def test_right_cases_are_trusted(row: str) -> None:
    wrong, right = found(row)
    assert wrong is None
    assert right is not None
    assert right <= 0.05


def test_rows_are_stored_and_drawn_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.case_trust_toy.ROWS", {"25 % dilated": ROWS["25 % dilated"]})
    for file in (tmp_path / "a.json", tmp_path / "b.json"):
        assert main(["--draws", "2", "--json", str(file)]) == 0
    rows = [json.loads((tmp_path / name).read_text())["rows"] for name in ("a.json", "b.json")]
    assert rows[0] == rows[1]
    assert set(rows[0]["25 % dilated"]) == set(WAYS)
