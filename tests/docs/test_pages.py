"""Pages that show numbers are what `make pages` writes, and no other page shows a number that was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jinja2 import UndefinedError

from benchmarks.pages import __main__ as pages
from benchmarks.pages import paper_numbers, study_numbers
from benchmarks.pages.shown import between, columns, signed, stacked
from tests.conftest import REPOSITORY

GAINS = ([1.0, 2.0, 6.0], [-1.0, 1.0, 0.5])
BY_HAND = r"[+−]\d+\.\d(?! ·)|\d\.\d+ points|\d\.\d+ times|Dice (?:of|at) \d\d"
"""How measured numbers are written: differences, points, ratios."""


@pytest.mark.parametrize("template", pages.templates(), ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_a_page_is_what_make_pages_writes(template: Path) -> None:
    assert template.with_suffix("").read_text(encoding="utf-8") == pages.written(template), "run: make pages"


def sources() -> list[Path]:
    """What people write: templates, and the pages without one."""
    found = {*pages.templates(), *(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "CONTRIBUTING.md"}
    return sorted(found - {template.with_suffix("") for template in pages.templates()})


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_no_measured_number_is_written_by_hand(source: Path) -> None:
    prose = re.sub(r"\{\{.*?\}\}|`[^`]*`", "", source.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(BY_HAND, prose) == []


def test_numbers_written_by_hand_are_found() -> None:
    for text in ("wins +13.2 points", "it is −0.4", "3.5 points above", "costs 1.61 times", "a Dice of 22"):
        assert re.search(BY_HAND, text), text


def test_a_function_that_does_not_exist_stops_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "x.md.j2").write_text("{{ nothing() }}")
    with pytest.raises(UndefinedError, match="nothing"):
        pages.written(tmp_path / "x.md.j2")


def test_how_numbers_are_shown() -> None:
    assert [signed(value) for value in (1.25, -0.44, -0.04, 0.0)] == ["+1.2", "−0.4", "0.0", "0.0"]
    assert [between(1, 2.25), between(-1, 0.5)] == ["1.0 to 2.2", "−1.0 to +0.5"]
    assert between(1.044, 1.3, digits=2) == "1.04 to 1.30"


def test_columns_and_stacked_tables_by_hand() -> None:
    table = "| a | b | c |\n| --- | ---: | --- |\n| 1 | 2 | 3 |"
    chosen = columns(table, ("c", "b"))
    assert chosen == "| c | b |\n| --- | ---: |\n| 3 | 2 |"
    assert stacked("of", {"x": chosen, "y": chosen}) == (
        "| of | c | b |\n| --- | --- | ---: |\n| x | 3 | 2 |\n| y | 3 | 2 |"
    )


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings on dilated and clean labels whose gains over plain nnU-Net are `GAINS`, in points."""

    def line(labels: str, arm: str, fold: int, dice: float) -> str:
        run: dict[str, Any] = {"labels": labels, "fold": fold, "seed": 0, "arm": arm, "budget": 20}
        return json.dumps({"run": run, "cases": {"a": {"1": {"dice": dice - 0.1}, "2": {"dice": dice + 0.1}}}})

    lines = []
    for labels, gains, plain in zip(("dilated", "clean"), GAINS, (0.5, 0.6), strict=True):
        for fold, gain in enumerate(gains, start=2):
            lines += [line(labels, "plain", fold, plain), line(labels, "DALE", fold, plain + gain / 100)]
            lines += [line(labels, "CaseTrust", fold, plain - gain / 100)]
    (tmp_path / "dale.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr(study_numbers, "RESULTS", tmp_path)


@pytest.mark.usefixtures("study")
def test_gains_by_hand() -> None:
    place = ("dale", "dilated", "DALE")
    assert study_numbers.gain(*place) == "+3.0"
    half = 4.3027 * np.std(GAINS[0], ddof=1) / np.sqrt(3)  # Student's t with 2 degrees of freedom
    assert study_numbers.interval(*place) == between(3 - half, 3 + half)
    assert study_numbers.lowest_to_highest(*place) == "1.0 to 6.0"
    assert study_numbers.count(*place) == 3
    assert study_numbers.dice(*place, digits=2) == "53.00"
    assert study_numbers.gain(*place, fold=4) == "+6.0"
    assert study_numbers.cost_of_labels("dilated") == "10.0"
    assert study_numbers.largest_chance("dale") == "1.0"


@pytest.mark.usefixtures("study")
def test_what_was_not_measured_stops_the_page() -> None:
    with pytest.raises(LookupError, match="no training of"):
        study_numbers.gain("dale", "eroded", "DALE")


def test_the_papers_numbers_are_those_of_its_table() -> None:
    """Beside the row of the table, which adds up the seeds on its own."""
    row = next(line for line in paper_numbers.all_paper_tables().splitlines() if line.startswith("| masked loss  "))
    shown = f"{paper_numbers.paper('masked loss', 'same epochs')} (+1.9 to +4.4)"
    assert shown in row
    assert paper_numbers.paper_range("masked loss", "same epochs") == "1.9 to 4.4"
