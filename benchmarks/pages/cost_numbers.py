"""Time and memory of an iteration and of a training, divided by plain nnU-Net's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.method_cost import methods_table
from benchmarks.pages.shown import between
from benchmarks.table import growth_table, markdown, stored_tables

RESULTS = Path(__file__).resolve().parents[1] / "results"
FIRST = "2d PlainConv, 3 classes"


def stored(name: str) -> dict[str, Any]:
    """A results file as it is."""
    found: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return found


def step_table(dimension: str, which: str) -> str:
    """Of an iteration: "time", "memory" or "parts"; `dimension` is 2d or 3d."""
    return stored_tables(stored("step_cost.json"), dimension)[("time", "memory", "parts").index(which)]


def growth(dimension: str) -> str:
    """Time and memory as one property of a case grows."""
    return growth_table(stored(f"growth_{dimension}.json")["cases"])


def step_time(variant: str) -> str:
    """Time of an iteration in the first case, 2D."""
    (case,) = (each for each in stored("step_cost.json")["cases"] if each["case"]["name"] == FIRST)
    return f"{case['variants'][variant]['ratio_median']:.1f}"


def step_range(variant: str, what: str) -> str:
    """Lowest and highest over all cases of "ratio_median", "peak_memory_ratio" or "step_memory_ratio"."""
    found = [each["variants"][variant][what] for each in stored("step_cost.json")["cases"]]
    return between(min(found), max(found), digits=2)


def training_cost(trainer: str) -> str:
    """Time of a whole training in a network of nnU-Net's size, 2D, by measurement."""
    (case,) = stored("training_cost_2d.json")["cases"]
    return f"{case['trainings'][trainer]['by_measurement']:.2f}"


def study_cost(arm: str, dimension: str, what: str = "training") -> str:
    """The same in the much smaller networks of the accuracy study; or of one "Algorithm 1" iteration."""
    return f"{stored('accuracy/dale_costs.json')['costs'][dimension][arm][what]:.2f}"


def page_faults() -> str:
    """Pages fetched per iteration, and time, with glibc's default and with memory kept."""
    ways = [stored(f"step_cost_2d_{name}.json")["cases"][0]["variants"] for name in ("glibc", "kept")]
    rows = []
    for mode in ("plain", "lookahead", "reuse", "alternation"):
        pages = [f"{way[mode]['page_faults_median']:,.0f}" for way in ways]
        rows.append([mode, *pages, *(f"{way[mode]['ratio_median']:.2f}" for way in ways)])
    header = ["mode", "pages, glibc's default", "pages, kept", "time / plain, glibc's default", "time / plain, kept"]
    return markdown(header, rows)


def method_costs(dimension: str) -> str:
    """An iteration of each other method."""
    found = stored(f"method_cost_{dimension}.json")
    return methods_table((found["cases"][0] if dimension == "3d" else found)["variants"])
