"""The tables of docs/performance.md are those that the benchmark makes of the stored results."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from benchmarks.table import growth_table, stored_tables
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "performance.md").read_text()


def stored(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((REPOSITORY / "benchmarks" / "results" / name).read_text())
    return report


@pytest.mark.parametrize("only", ["2d", "3d"])
def test_time_memory_and_parts(only: str) -> None:
    tables = stored_tables(stored("step_cost.json"), only)
    assert len(tables) == 3
    for table in tables:
        assert table in PAGE


@pytest.mark.parametrize("name", ["growth_2d.json", "growth_3d.json"])
def test_growth(name: str) -> None:
    assert growth_table(stored(name)["cases"]) in PAGE


def test_page_faults() -> None:
    for name in ("step_cost_2d_kept.json", "step_cost_2d_glibc.json"):
        (row,) = stored(name)["cases"]
        for variant in ("plain", "lookahead", "reuse", "alternation"):
            assert f"{row['variants'][variant]['page_faults_median']:,.0f}" in PAGE


def test_the_figures_in_words() -> None:
    row = stored("step_cost.json")["cases"][0]
    assert row["case"]["name"] == "2d PlainConv, 3 classes"
    ratios = {name: f"{variant['ratio_median']:.1f}" for name, variant in row["variants"].items()}
    short = PAGE[PAGE.index("**In short**") : PAGE.index("## How it was measured")]
    names = ("lookahead", "lookahead_shifted", "reuse", "alternation", "default", "double_backward")
    assert re.findall(r"\b\d\.\d\b", short)[: len(names)] == [ratios[name] for name in names]
    assert f"{ratios['lookahead']} times the time per iteration" in (REPOSITORY / "README.md").read_text()


def test_the_costs_of_the_study() -> None:
    costs = stored("accuracy/dale_costs.json")["costs"]
    two, three = costs["2d"], costs["3d"]
    for arm, said in (("DALE", "is {:.2f} in 2D and {:.2f} in 3D"), ("DALE_reuse", "`_reuse` {:.2f} and {:.2f}")):
        assert said.format(two[arm]["training"], three[arm]["training"]) in PAGE
    bins = [costs[dimension][arm]["Algorithm 1"] for arm in ("DALE", "equal bins") for dimension in ("2d", "3d")]
    said = "costs {:.2f} in 2D and {:.2f} in 3D. With equal bins instead of bins near labels it costs {:.2f} and {:.2f}"
    assert said.format(*bins) in PAGE.replace("\n", " ")
