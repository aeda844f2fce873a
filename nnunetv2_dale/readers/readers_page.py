"""How readers compare, as a table of all cases (`readers.csv`) and as a page (`readers.html`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from nnunetv2_dale.commands.csv_table import write_table
from nnunetv2_dale.pages.html_page import render_page
from nnunetv2_dale.pages.private_content import Held
from nnunetv2_dale.readers.consensus import CONSENSUS, Comparison


@dataclass(frozen=True)
class PairOverCases:
    """Two readers and one class over the cases in which one of them drew it; means, and in how many they are far apart.

    `distance_mm` is None where they never both drew the class.
    """

    first: str
    second: str
    class_name: str
    cases: int
    dice: float
    distance_mm: float | None
    far: int


def write_comparisons(
    folder: Path, rows: Sequence[Comparison], readers: Sequence[str], target: str, ties: int, length: str = "mm"
) -> None:
    """Write both files into a dataset that is being made; `length` is the unit of the distances."""
    write_table(folder / "readers.csv", [field.name for field in fields(Comparison)], map(astuple, rows))
    pairs = pairs_over_cases(rows)
    context = {
        "title": "How the readers agree",
        "kicker": "nnUNetv2_dale_confidence",
        "holds": Held(pictures=False, paths=False),
        "readers": readers,
        "target": target,
        "ties": ties,
        "length": length,
        "cases": len({row.case for row in rows}),
        "with_consensus": [each for each in pairs if each.second == CONSENSUS],
        "pairs": [each for each in pairs if each.second != CONSENSUS],
        "far": [row for row in rows if row.is_far and row.second == CONSENSUS],
    }
    page = render_page("readers.html.j2", "nnunetv2_dale.readers", context)
    (folder / "readers.html").write_text(page, encoding="utf-8")


def pairs_over_cases(rows: Sequence[Comparison]) -> list[PairOverCases]:
    """The means over the cases, in the order in which pairs and classes first come."""
    found = []
    for key in dict.fromkeys((row.first, row.second, row.class_name) for row in rows):
        mine = [row for row in rows if (row.first, row.second, row.class_name) == key]
        distances = [row.distance_mm for row in mine if row.distance_mm is not None]
        mean = float(np.mean(distances)) if distances else None
        dice = float(np.mean([row.dice for row in mine]))
        found.append(PairOverCases(*key, len(mine), dice, mean, sum(row.is_far for row in mine)))
    return found
