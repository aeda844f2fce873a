"""The trainings of one trainer as one run of a report: what each of them says, averaged or side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from nnunetv2_dale.report.report_data import EmptyCount, LesionTotal, Report, Run, Values

Counts = TypeVar("Counts", EmptyCount, LesionTotal)
REPEAT = re.compile(r"_repeat(\d+)(?=__|$)")
"""What the benchmark adds to the plans of a training that is repeated, and its number."""


def two_sides(*sides: Sequence[Run]) -> tuple[list[Run], dict[str, list[Values]]]:
    """A run for each side, and by its name the values of each of its trainings.

    A side is named as its trainings' folders are, without the number of the repeat.
    """
    names = [" + ".join(dict.fromkeys(REPEAT.sub("", Path(run.name).name) for run in side)) for side in sides]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, start=1)]
    runs = [one_run(name, side) for name, side in zip(names, sides, strict=True)]
    return runs, {run.name: [each.values for each in side] for run, side in zip(runs, sides, strict=True)}


def one_run(name: str, trainings: Sequence[Run]) -> Run:
    """Return one run that stands for several; its values are means, its counts sums.

    A case counts where every training has a value.
    """
    every = [(number, run) for number, run in enumerate(trainings, start=1)]
    return replace(
        trainings[0],
        name=name,
        trainings=[run.name for run in trainings],
        seed=", ".join(run.seed for run in trainings if run.seed is not None) or None,
        values=mean_values([run.values for run in trainings]),
        empty=[sum_of(counts) for counts in zip(*(run.empty for run in trainings), strict=True)],
        lesions=[sum_of(totals) for totals in zip(*(run.lesions for run in trainings), strict=True)],
        costs=[replace(cost, fold=_of(number, cost.fold)) for number, run in every for cost in run.costs],
        curves=[replace(curve, fold=_of(number, curve.fold)) for number, run in every for curve in run.curves],
        ran={_of(number, fold): sentence for number, run in every for fold, sentence in run.ran.items()},
    )


def sum_of(counts: Sequence[Counts]) -> Counts:
    """One record of several of the same class: every count is their sum."""
    numbers = [field.name for field in fields(counts[0]) if field.name != "class_key"]
    sums: dict[str, Any] = {name: sum(getattr(each, name) for each in counts) for name in numbers}
    return replace(counts[0], **sums)


def mean_values(each: Sequence[Values]) -> Values:
    """The mean of several runs' values; None where one of them has none."""
    return {
        metric: {
            key: [
                None if None in values else fmean(value for value in values if value is not None)
                for values in zip(*(run[metric][key] for run in each), strict=True)
            ]
            for key in each[0][metric]
        }
        for metric in each[0]
    }


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Full name → short name; the parts of TRAINER__PLANS__CONFIG that all runs share are left out.

    >>> short_names(["nnUNetTrainer__nnUNetPlans__2d", "nnUNetTrainerDALE__nnUNetPlans__2d"])
    {'nnUNetTrainer__nnUNetPlans__2d': 'nnUNetTrainer', 'nnUNetTrainerDALE__nnUNetPlans__2d': 'nnUNetTrainerDALE'}
    """
    parts = [name.split("__") for name in names]
    if len({len(part) for part in parts}) != 1 or len(parts[0]) != 3:
        return {name: name for name in names}
    differing = [place for place in range(3) if len({part[place] for part in parts}) > 1]
    if not differing:
        return {name: name for name in names}
    return {name: " ".join(part[place] for place in differing) for name, part in zip(names, parts, strict=True)}


def labels_of(report: Report) -> dict[str, str]:
    """Short names of the report's runs, and of the trainings that one stands for."""
    labels = short_names([run.name for run in report.runs])
    for run in report.runs:
        for number, training in enumerate(run.trainings, start=1):
            labels.setdefault(training, f"{labels[run.name]} · {number}")
    return labels


def _of(number: int, fold: str) -> str:
    return f"{fold} of training {number}"
