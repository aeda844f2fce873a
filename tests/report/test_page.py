"""The page in a real browser: complete without a network, no errors, tables that sort by keyboard and mouse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from nnunetv2_dale.nnunet_files.results.same_task import ClassName
from nnunetv2_dale.report import plots
from nnunetv2_dale.report.comparisons import compare
from nnunetv2_dale.report.cost import LearningCurve
from nnunetv2_dale.report.metrics import add_case_means, metric_name, metrics_of
from nnunetv2_dale.report.page import render_report, verdict
from nnunetv2_dale.report.report_data import EmptyCount, Report, Run, Values
from nnunetv2_dale.report.report_folder import read_report, to_json
from tests.pages.browser import seen_in_a_browser

CASES = [f"case_{number}" for number in (10, 9, 2, 1, 30)]
CLASSES = [ClassName("1", "<liver> & spleen"), ClassName("2", "tumour")]
DICE: dict[str, list[float | None]] = {"A": [0.5, 0.9, 0.7, None, 0.8], "B": [0.6, 0.9, 0.75, None, 0.85]}


def run_of(name: str, values: Values) -> Run:
    curve = LearningCurve("0", [0, 1, 2], [0.1, 0.2, 0.3], [0.2, None, 0.6], [-0.1, -0.2, -0.3], [-0.1, -0.2, -0.2])
    empty = [EmptyCount(item.key, 1, 0, 0) for item in CLASSES]
    facts = {"trainer": name}
    return Run(
        name, name, None, None, ["0"], ["1"], 5, ["0"] * 5, facts, {"tau": 0.9}, None, values, empty, [], [curve]
    )


def small_report(dice_of_runs: Mapping[str, list[float | None]] = DICE) -> Report:
    metrics = metrics_of(with_masks=False)[:2]
    values: dict[str, Values] = {
        name: {metric.name: {item.key: list(dice) for item in CLASSES} for metric in metrics}
        for name, dice in dice_of_runs.items()
    }
    add_case_means(list(values.values()), metrics, [item.key for item in CLASSES])
    return Report(
        dataset="Dataset001_<b>Organs</b>",
        created="2025-01-01T00:00:00+00:00",
        command="nnUNetv2_dale_report A B",
        baseline=next(iter(dice_of_runs)),
        classes=CLASSES,
        metrics=metrics,
        case_names=CASES,
        patients=None,
        excluded=[],
        runs=[run_of(name, run_values) for name, run_values in values.items()],
        comparisons=compare(values, metrics, CLASSES, resamples=200),
        settings={"bootstrap_resamples": 200, "bootstrap_seed": 0},
        versions={"nnunetv2-dale": "0"},
        missing=["no masks"],
        remarks=[],
    )


def test_more_runs_than_colours_can_be_told_apart() -> None:
    """Ten runs are compared; in the learning curves those of one colour have different lines."""
    report = small_report({f"run {number}": DICE["AB"[number % 2]] for number in range(10)})
    for plot in (plots.difference_plot, plots.distribution_plot, plots.fold_plot):
        plot(report, report.metrics[0])
    curves = plots.learning_plot(report).axes[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == 10


# Run after the page's own script: reports what the page asked for, and sorts the table of cases by its buttons.
PROBE = """
const table = [...document.querySelectorAll("table")].find((t) => t.caption.textContent.startsWith("Dice of every"));
const order = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim()).join(" ");
const [byCase, , byBaseline] = table.querySelectorAll("thead button");
byCase.click(); seen.cases = order(); byCase.click(); seen.casesDown = order();
byBaseline.focus(); seen.focus = document.activeElement === byBaseline;
byBaseline.click(); seen.dice = order(); byBaseline.click(); seen.diceDown = order();
seen.ariaSort = byBaseline.closest("th").getAttribute("aria-sort");
seen.others = table.querySelectorAll("th[aria-sort]").length;
seen.status = document.getElementById("sort-status").textContent;
seen.requests = performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")).length;
seen.broken = [...document.images].filter((i) => !i.complete || i.naturalWidth === 0).length;
seen.images = document.images.length;
seen.unnamed = [...document.images].filter((i) => !i.alt).length;"""


def test_in_a_browser(tmp_path: Path) -> None:
    seen = seen_in_a_browser(render_report(small_report(), tmp_path), PROBE, tmp_path)
    assert seen["cases"] == "case_1 case_2 case_9 case_10 case_30"
    assert seen["casesDown"] == "case_30 case_10 case_9 case_2 case_1"
    # A case without a value stays last in both directions.
    assert seen["dice"] == "case_10 case_2 case_30 case_9 case_1"
    assert seen["diceDown"] == "case_9 case_30 case_2 case_10 case_1"
    assert (seen["ariaSort"], seen["others"]) == ("descending", 1)
    assert "descending" in seen["status"]
    assert seen["focus"] is True
    assert (seen["requests"], seen["broken"], seen["unnamed"]) == (0, 0, 0)
    assert seen["images"] >= 5


def test_names_are_escaped_and_missing_things_are_said(tmp_path: Path) -> None:
    page = render_report(small_report(), tmp_path)
    assert "<b>Organs" not in page
    assert "&lt;liver&gt; &amp; spleen" in page
    assert "no masks" in page
    assert "not recorded (plain nnU-Net fixes none)" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_the_same_report_comes_back_from_json(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(to_json(small_report()), encoding="utf-8")
    again = read_report(tmp_path / "report.json")
    assert to_json(again) == to_json(small_report())
    assert render_report(again, tmp_path) == render_report(small_report(), tmp_path)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ([0.02] * 5 + [0.032], "2.20 points higher"),
        ([-0.02] * 5 + [-0.032], "2.20 points lower"),
        ([0.1, -0.1, 0.05, -0.05, 0, 0], "No difference"),
        ([0.02] * 4 + [0.03], "share 5 cases: too few for a statement"),
    ],
)
def test_the_verdict_claims_what_the_interval_does(gain: list[float], said: str) -> None:
    before: list[float | None] = [0.5, 0.6, 0.7, 0.8, 0.75, 0.65][: len(gain)]
    after: list[float | None] = [value + step for value, step in zip(before, gain, strict=True) if value is not None]
    values: dict[str, Values] = {name: {"Dice": {"1": column}} for name, column in (("A", before), ("B", after))}
    metric = metrics_of(with_masks=False)[:1]
    add_case_means(list(values.values()), metric, ["1"])
    row = compare(values, metric, CLASSES[:1], resamples=500)[0]
    assert said in verdict(row, {"A": "A", "B": "B"})


def test_case_means() -> None:
    names = [metric for metric in metrics_of(with_masks=True) if metric.name in ("Dice", "HD95")]
    first: Values = {"Dice": {"1": [0.8], "2": [None]}, "HD95": {"1": [1.0], "2": [5.0]}}
    second: Values = {"Dice": {"1": [0.8], "2": [0.0]}, "HD95": {"1": [3.0], "2": [None]}}
    add_case_means([first, second], names, ["1", "2"])
    assert (first["Dice"]["mean"], second["Dice"]["mean"]) == ([0.8], [0.4])  # a false class costs
    assert (first["HD95"]["mean"], second["HD95"]["mean"]) == ([1.0], [3.0])  # a missed one does not help
    assert metric_name("HD95", "fuzzy") == "HD95 (fuzzy region)"
