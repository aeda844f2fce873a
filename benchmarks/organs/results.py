"""What of a comparison's report is stored, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.organs.study import Comparison, Study, dataset_name, replaced_plans
from nnunetv2_dale.pages.private_content import without_paths

METRICS = ("Dice", "HD95")
KEPT = (
    *("metric", "class_name", "n", "mean_baseline", "mean", "difference", "ci95"),
    *("p_trials", "sd_trainings_baseline", "sd_trainings"),
)


def result_of(study: Study, each: Comparison, reports: Sequence[Mapping[str, Any]], raw: Path) -> dict[str, Any]:
    """The numbers of one or more `report.json`, and what was trained on what; the noise is that of the raw dataset."""
    dataset = dataset_name(study, each.data, each.labels)
    noise = raw / dataset / "label_noise.json"
    runs = {run["trainer"]: run for report in reports for run in report["runs"]}.values()
    return {
        "data": each.data,
        "labels": each.labels,
        "configuration": each.step.configuration,
        "length": each.step.length,
        "folds": list(each.step.folds),
        "trainings_a_side": each.step.repeats,
        "plans": replaced_plans(study, each.data, each.step.configuration),
        "noise": json.loads(noise.read_text()) if noise.exists() else None,
        "versions": reports[0]["versions"],
        "cases": reports[0]["case_names"],
        "trainers": [
            {
                "trainer": run["trainer"].removesuffix(each.step.length),
                "dice": run["values"]["Dice"]["mean"],
                "ran": run["ran"],
                "dale": run["dale"],
                "hours": [cost["hours"] for cost in run["costs"]],
            }
            for run in runs
        ],
        "comparisons": [
            {"trainer": row["candidate"].split("__")[0].removesuffix(each.step.length)}
            | {name: row[name] for name in KEPT}
            for report in reports
            for row in report["comparisons"]
            if row["metric"] in METRICS
        ],
        "missing": list(
            dict.fromkeys(without_paths(sentence, [raw]) for report in reports for sentence in report["missing"])
        ),
    }
