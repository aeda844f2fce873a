"""The tables of docs/measurements.md say what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAYS = {
    "look-ahead, cosine": "look-ahead, one-sided",
    "reuse, cosine": "reuse, one-sided",
    "reuse in bfloat16, cosine": "reuse, one-sided, bfloat16",
    "head, cosine": "head",
}


def _agreement(case: str, iterations: str, way: str) -> dict[str, float]:
    rows = json.loads((ROOT / "benchmarks/results/confidence_fidelity.json").read_text())["agreement"]
    return next(row for row in rows if (row["case"], str(row["iterations"]), row["way"]) == (case, iterations, way))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("first", ["look-ahead, cosine", "head, cosine"])
def test_the_meta_gradients_agree_as_the_page_says(first: str) -> None:
    lines = (ROOT / "docs/measurements.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if _cells(line)[2:3] == [first])
    names = _cells(lines[start])
    rows = [_cells(line) for line in lines[start + 2 : start + 8]]
    assert [row[:2] for row in rows] == [[case, n] for case in ("2d", "3d") for n in ("0", "100", "1000")]
    for row in rows:
        for column in range(2, len(names), 2):
            measured = _agreement(row[0], row[1], WAYS[names[column]])
            assert row[column] == f"{measured['cosine']:.4f}"
            assert row[column + 1] == f"{measured['sign']:.3f} / {measured['sign_fuzzy']:.3f}"


def test_the_head_is_exact_for_the_head() -> None:
    rows = json.loads((ROOT / "benchmarks/results/confidence_fidelity.json").read_text())["agreement"]
    of_head = [row["worst_cosine"] for row in rows if row["way"] == "head, to the exact one of the head"]
    assert len(of_head) == 6
    assert min(of_head) > 0.99995  # the page's 1.0000


def test_where_the_fuzzy_region_lies() -> None:
    data = json.loads((ROOT / "benchmarks/results/fuzziness.json").read_text())["data"]
    page = (ROOT / "docs/measurements.md").read_text()
    for name, found in data.items():
        cells = [
            f"{found['printed'][number]:.{digits}f} → {found['near edges'][number]:.{digits}f}"
            for number, digits in (("fuzzy_near_edges", 2), ("edges_fuzzy", 2), ("auroc", 3))
        ]
        assert f"| {' | '.join(cells)} |" in page, name


def test_no_row_has_a_case_that_is_left_out() -> None:
    page = (ROOT / "docs/measurements.md").read_text()
    lines = page[page.index("Cases of the hippocampus that are left out:") :].split("\n\n")[1]
    left_out = {f"hippocampus_{int(number):03d}" for number in lines.split()}
    assert len(left_out) == 60
    for file in (ROOT / "benchmarks/results/accuracy").glob("*.jsonl"):
        for line in file.read_text().splitlines():
            assert not left_out & json.loads(line)["cases"].keys(), file
