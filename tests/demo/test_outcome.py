from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from nnunetv2_dale.demo.outcome import dale_page, readers_found
from nnunetv2_dale.demo.workspace import Workspace

CASES = [f"phantom_{index:03d}" for index in range(5)]
PHANTOM: dict[str, Any] = {"drawn_wide": ["phantom_002", "phantom_004"], "wide_mm": 5.6}
NUMBERS: dict[str, Any] = {
    "seed": 3,
    "device": "cpu",
    "scale": {"training_cases": 5, "validation_cases": 4, "epochs": 8, "batches_per_epoch": 30},
    "steps": [
        {"title": "make the phantom", "command": "", "seconds": 7.4},
        {"title": "train DALE", "command": 'nnUNetv2_train 998 -x "a <b>"', "seconds": 165.0},
    ],
    "facts": {"data": "10 + 4 cases"},
    "algorithm_batches": 60,
}
WIDE = [0, 1.0, 0.2, 0, 0]  # liver and spleen too wide
RIGHT = {"phantom_002": [0, 1, 1, 0, 0], "phantom_004": [0, 1, 0, 0, 0]}
WRONG = {"phantom_001": [0, 0, 0, -0.5, -0.1]}


def distrust(**of_cases: list[float]) -> dict[str, list[float]]:
    """Of each case and label value, 0 but for the cases that are named."""
    return {case: of_cases.get(case, [0.0] * 5) for case in CASES}


@pytest.mark.parametrize(
    ("found", "verdicts"),
    [
        ({}, ["missed", "missed", "missed", "missed"]),
        ({"phantom_002": WIDE, "phantom_004": WIDE}, ["right", "right", "missed", "missed"]),
        ({"phantom_002": WIDE}, ["in part", "in part", "missed", "missed"]),  # one of the two, and no other
        ({"phantom_002": WIDE, "phantom_000": [0, 0, 0.1, 0, 0]}, ["in part", "wrong", "missed", "missed"]),
        ({"phantom_001": [0, 0, 0, -0.5, -0.1]}, ["missed", "missed", "wrong", "wrong"]),  # nobody draws narrower
        ({"phantom_002": [0, -1.0, 0, 0, 0]}, ["wrong", "missed", "missed", "missed"]),
    ],
)
def test_what_is_found_is_compared_with_what_the_phantom_knows(found: dict[str, list[float]], verdicts) -> None:
    judged = readers_found(distrust(**found), PHANTOM)
    assert [each.label for each in judged] == ["liver", "spleen", "kidney", "lesion"]
    assert [each.verdict for each in judged] == verdicts


def test_cases_are_named_by_why_they_are_down_weighted() -> None:
    liver, *_, lesion = readers_found(distrust(phantom_002=WIDE, phantom_001=[0, 0, 0, 0, -0.1]), PHANTOM)
    assert (liver.drawn_wide, liver.too_wide, liver.too_narrow) == (["phantom_002", "phantom_004"], ["phantom_002"], [])
    assert (lesion.too_wide, lesion.too_narrow) == ([], ["phantom_001"])


def page(**found: list[float]) -> str:
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    numbers = {**NUMBERS, "readers": readers_found(distrust(**found), PHANTOM)}
    pictures = dict.fromkeys(("noise", "example", "alignment"), figure)
    return dale_page(numbers, PHANTOM, pictures, Workspace(Path("/a demo")))


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.mark.parametrize(
    ("found", "verdict", "others"),
    [
        (
            RIGHT,
            "Right. DALE found the second reader in liver, in a part",
            ("Wrong.", "Missed."),
        ),
        ({"phantom_002": WIDE}, "In part. DALE found the second reader in a part", ("Right.", "Wrong.", "Missed.")),
        (WRONG, "Wrong. In kidney, lesion it down-weights labels", ("Right.", "Missed.")),
        (RIGHT | WRONG, "Wrong. In kidney, lesion it down-weights labels", ("Right.", "Missed.")),
        ({}, "Missed. DALE found no two groups of cases", ("Right.", "Wrong.")),
    ],
)
def test_it_says_whether_what_was_found_is_so(found: dict[str, list[float]], verdict: str, others) -> None:
    said = words(page(**found))
    assert verdict in said
    assert not any(other in said for other in others)


def test_every_class_has_its_row() -> None:
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page(**RIGHT), re.S)]
    assert rows[1:] == [
        ["liver", "002, 004", "002, 004", "–", "right"],
        ["spleen", "002, 004", "002", "–", "in part"],
        ["kidney", "002, 004", "–", "–", "missed"],
        ["lesion", "002, 004", "–", "–", "missed"],
    ]


def test_it_says_how_short_the_training_is_and_leads_back_to_the_report() -> None:
    html = page()
    assert "Each training saw 240 batches" in words(html)
    assert "Algorithm 1 had 60 of the 240 batches" in words(html)
    assert 'href="report/report.html"' in html
    assert "nnUNetv2_train 998 -x &#34;a &lt;b&gt;&#34;" in html


def test_pictures_are_inside_with_words_for_who_cannot_see_them() -> None:
    images = re.findall(r'<img src="(.{20}).*?" alt="(.*?)">', page())
    assert len(images) == 3
    assert all(source.startswith("data:image/png") and len(alt) > 30 for source, alt in images)
    assert "http://" not in page()
    assert "https://" not in page()
