"""What holds over all data and what on one: differences to plain nnU-Net, of the accuracy study and of the organs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.pages.shown import between, signed
from benchmarks.pages.study_numbers import differences
from benchmarks.table import markdown

RESULTS = Path(__file__).resolve().parents[1] / "results" / "organs"
LABELS = {
    "dilated": "drawn too wide in 45 % of the cases",
    "as_they_are": "as they are",
    "readers": "each case by one of four readers",
    "wide_and_narrow": "too wide in 25 %, too narrow in 25 %",
    "mixed": "every kind of error, in 20 %",
}
ORGANS = {  # data of the study over organs → as pages name them
    "Hippocampus": "hippocampus (MR)",
    "LIDC": "lung nodules (CT)",
    "ACDC": "hearts (MR)",
    "AbdomenMR": "abdomen (MR)",
    "HeadNeckCT": "head and neck (CT)",
}
TRAINERS = {"nnUNetTrainerCaseTrust": "CaseTrust", "nnUNetTrainerDALE": "DALE"}
STUDY: tuple[tuple[str, str, tuple[str, ...], str, str, dict[str, object]], ...] = (
    # data, labels, trainers, table of the accuracy study, its name of the labels, which of its trainings
    ("hippocampus (MR), 2d", "dilated", ("CaseTrust", "DALE"), "dale", "dilated", {"equal": "batches"}),
    ("hippocampus (MR), 2d", "as_they_are", ("CaseTrust", "DALE"), "dale", "clean", {"equal": "batches"}),
    ("hippocampus (MR), 3d_fullres", "dilated", ("CaseTrust", "DALE"), "dale_volumes", "dilated", {}),
    ("hippocampus (MR), 3d_fullres", "as_they_are", ("CaseTrust", "DALE"), "dale_volumes", "clean", {}),
    ("lung nodules (CT), 2d", "readers", ("CaseTrust",), "readers", "random_reader", {"budget": 4000}),
    ("lung nodules (CT), 2d", "readers", ("DALE",), "dale_readers", "random_reader", {"budget": 2000}),
)
NOT_SHOWN = "not shown"  # fewer than two organs with two trainings a side
NO_DIFFERENCE = 0.5  # points: a trainer that loses less on labels as they are loses nothing that matters


@dataclass(frozen=True)
class Measured:
    """A trainer's Dice minus plain nnU-Net's, in points, on one dataset and one set of labels."""

    data: str
    labels: str
    trainer: str
    difference: float
    trainings: int  # a side
    lowest: float  # of the interval of 95 %, over trainings; −∞ for one training a side


def measured() -> list[Measured]:
    """Everything that is stored."""
    rows = []
    for data, labels, trainers, table, version, which in STUDY:
        for trainer in trainers:
            found = differences(table, version, trainer, **which)
            rows.append(Measured(data, labels, trainer, float(found.mean()), len(found), lowest_of(found)))
    return rows + [row for file in sorted(RESULTS.glob("*.json")) for row in _of_organ(json.loads(file.read_text()))]


def lowest_of(differences: NDArray[np.float64]) -> float:
    """The lower end of Student's interval of 95 % for the mean of paired trainings; −∞ for one."""
    count = len(differences)
    if count < 2:
        return float("-inf")
    return float(differences.mean() - stats.t.ppf(0.975, count - 1) * stats.sem(differences))


def _of_organ(stored: dict[str, Any]) -> list[Measured]:
    trainings = stored["trainings_a_side"]
    return [
        Measured(
            *(_data_of(stored), stored["labels"], TRAINERS[row["trainer"]], 100 * row["difference"], trainings),
            100 * row["ci95"][0] if trainings > 1 else float("-inf"),
        )
        for row in stored["comparisons"]
        if row["metric"] == "Dice" and row["class_name"] == "mean over classes" and row["trainer"] in TRAINERS
    ]


def lost(data: str, labels: str, trainer: str) -> str:
    """How much less than plain nnU-Net a trainer reached, in points."""
    (row,) = (row for row in measured() if (row.data, row.labels, row.trainer) == (data, labels, trainer))
    return f"{-row.difference:.1f}"


def _data_of(stored: dict[str, Any]) -> str:
    return f"{ORGANS[stored['data']]}, {stored['configuration']}"


def over_all_data_table() -> str:
    """For each set of labels and trainer the range over the data, and whether it goes one way."""
    rows = []
    for labels, title in LABELS.items():
        for trainer in TRAINERS.values():
            found = [row for row in measured() if (row.labels, row.trainer) == (labels, trainer)]
            if found:
                organs = {row.data.partition(",")[0] for row in found}
                each = [row.difference for row in found]
                shown = between(min(each), max(each)) if len(each) > 1 else signed(each[0])
                repeated = [row for row in found if row.trainings > 1]  # one training a side proves nothing
                several = len({row.data.partition(",")[0] for row in repeated}) > 1
                holds = _holds(labels, repeated) if several else NOT_SHOWN
                rows.append([title, trainer, len(organs), shown, holds])
    header = ["labels for training", "trainer", "organs", "differences in Dice", "over all organs"]
    return markdown(header, rows)


def on_one_data_table() -> str:
    """Every dataset by itself."""
    rows = [[row.data, LABELS[row.labels], row.trainer, signed(row.difference), row.trainings] for row in measured()]
    return markdown(["data", "labels for training", "trainer", "difference in Dice", "trainings a side"], rows)


def by_class_table() -> str:
    """Of the study over organs: each class by itself, plain nnU-Net's Dice and the differences to it."""
    rows = []
    for file in sorted(RESULTS.glob("*.json")):
        stored = json.loads(file.read_text())
        found = {
            (row["class_name"], row["trainer"]): row
            for row in stored["comparisons"]
            if row["metric"] == "Dice" and row["trainer"] in TRAINERS
        }
        for name in dict.fromkeys(name for name, _ in found):
            of_class = [found[name, trainer] for trainer in TRAINERS if (name, trainer) in found]
            shown = [
                signed(100 * found[name, trainer]["difference"]) if (name, trainer) in found else "–"
                for trainer in TRAINERS
            ]
            head = [_data_of(stored), LABELS[stored["labels"]], stored["trainings_a_side"], name.replace("_", " ")]
            rows.append([*head, f"{100 * of_class[0]['mean_baseline']:.1f}", *shown])
    return markdown(["data", "labels for training", "trainings a side", "class", "plain", *TRAINERS.values()], rows)


def _holds(labels: str, rows: Sequence[Measured]) -> str:
    if labels == "as_they_are":
        lost = min(row.difference for row in rows)
        return f"loses at most {NO_DIFFERENCE}" if lost >= -NO_DIFFERENCE else "no: loses more on one"
    return "gains" if min(row.lowest for row in rows) > 0 else "no: a gain is not shown on each"
