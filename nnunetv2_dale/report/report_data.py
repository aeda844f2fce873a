"""The numbers of a report as plain dataclasses; `report_folder` writes and reads them.

Pages, tables and plots are drawn from a `Report` alone, so that a report can be redrawn from its `report.json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nnunetv2_dale.nnunet_files.results.misplaced import Misplaced
from nnunetv2_dale.nnunet_files.results.same_task import ClassName, ExcludedCase
from nnunetv2_dale.report.cost import FoldCost, LearningCurve

MEAN_CLASS = "mean"

Values = dict[str, dict[str, list[float | None]]]
"""metric → class key (or "mean") → one value per case of `Report.case_names`; None: not counted or missing."""


@dataclass(frozen=True)
class Metric:
    """What is measured. `unit` is "" for a ratio in [0, 1], else "mm"; `region` is "all", "fuzzy" or "clear"."""

    name: str
    unit: str
    higher_is_better: bool
    region: str
    same_within: float


@dataclass(frozen=True)
class EmptyCount:
    """How often a class of a run was empty, over the compared cases."""

    class_key: str
    both_empty: int
    prediction_empty: int
    reference_empty: int


@dataclass(frozen=True)
class LesionTotal:
    """Connected components of a class, in one case or over all: of the reference, of a run's prediction, matched."""

    class_key: str
    in_reference: int
    in_prediction: int
    matched: int  # pairs of them; no component is in two pairs

    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN) with `matched` as TP; None without any lesion, as nnU-Net's Dice of empty masks.

        0 where only one of the masks is empty.
        """
        lesions = self.in_reference + self.in_prediction
        return 2 * self.matched / lesions if lesions else None


@dataclass(frozen=True)
class Run:
    """One result folder, or several `trainings` of one trainer: then values are their means, and counts their sums.

    `ran` is what of its method a fold's training had, in its trainer's words.
    """

    name: str
    trainer: str | None
    plans: str | None
    configuration: str | None
    folds: list[str]
    missing_folds: list[str]
    n_cases: int
    fold_of_case: list[str]
    facts: dict[str, str]
    dale: dict[str, Any] | None
    seed: str | None
    values: Values
    empty: list[EmptyCount]
    costs: list[FoldCost]
    curves: list[LearningCurve]
    lesions: list[LesionTotal] = field(default_factory=list)
    ran: dict[str, str] = field(default_factory=dict)
    trainings: list[str] = field(default_factory=list)

    @property
    def finished_costs(self) -> list[FoldCost]:
        """Of the folds that were trained to the end and validated."""
        return [cost for cost in self.costs if cost.finished]

    @property
    def finished_curves(self) -> list[LearningCurve]:
        """Of the same folds."""
        unfinished = {cost.fold for cost in self.costs if not cost.finished}
        return [curve for curve in self.curves if curve.fold not in unfinished]


@dataclass(frozen=True)
class Comparison:
    """One row: a candidate against the baseline in one metric and class, over paired cases.

    `difference` is candidate − baseline in the metric's unit. A number is None where it is not defined. With repeated
    trainings a side, `ci95` is over trainings and cases, `p_trials` the paired t-test over the trainings' means, whose
    spread is `sd_trainings`; the tests over cases are left out.
    """

    baseline: str
    candidate: str
    metric: str
    unit: str
    region: str
    higher_is_better: bool
    class_key: str
    class_name: str
    n: int
    n_not_counted: int
    n_patients: int | None
    mean_baseline: float | None
    mean: float | None
    sd_baseline: float | None
    sd: float | None
    difference: float | None
    sd_difference: float | None
    median_difference: float | None
    ci95: tuple[float, float] | None
    p_ttest: float | None
    p_wilcoxon: float | None
    p_holm: float | None
    same_within: float
    n_better: int
    n_same: int
    n_worse: int
    detectable_difference: float | None
    p_trials: float | None = None
    sd_trainings_baseline: float | None = None
    sd_trainings: float | None = None
    of_trainers: bool = False  # it compares two trainers; one training a side compares two models


@dataclass(frozen=True)
class Overlay:
    """A picture of one case, a file in the report's folder."""

    case: str
    candidate: str
    rank: str
    difference: float
    file: str
    description: str


@dataclass(frozen=True)
class Link:
    """A further page: its words, and its address as seen from the report."""

    text: str
    href: str


@dataclass(frozen=True)
class Report:
    """Everything a report says."""

    dataset: str
    created: str
    command: str
    baseline: str
    classes: list[ClassName]
    metrics: list[Metric]
    case_names: list[str]
    patients: list[str] | None
    excluded: list[ExcludedCase]
    runs: list[Run]
    comparisons: list[Comparison]
    settings: dict[str, Any]
    versions: dict[str, str]
    missing: list[str]
    remarks: list[str]
    overlays: list[Overlay] = field(default_factory=list)
    misplaced: list[Misplaced] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def class_title(self, key: str) -> str:
        """Return the name of a class key; "mean" is the mean over classes."""
        return {item.key: item.name for item in self.classes}.get(key, "mean over classes")

    def run(self, name: str) -> Run:
        """Return the run of that name."""
        return next(run for run in self.runs if run.name == name)
