"""The numbers of a report as plain dataclasses, and their JSON form (documented in docs/report.md).

Pages, tables and plots are drawn from a `Report` alone, so that a report can be redrawn from its `report.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.json_files import read_json
from nnunetv2_dale.nnunet_files.results.misplaced import Misplaced, misplaced_from_json
from nnunetv2_dale.nnunet_files.results.same_task import ClassName, ExcludedCase
from nnunetv2_dale.pages.private_content import without_paths

FORMAT = "nnunetv2_dale_report"
FORMAT_VERSION = 1
_ADDED = ("misplaced", "links")  # fields that files of earlier releases lack
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
    """Connected components of a class over the compared cases: of the references, of a run's predictions, matched."""

    class_key: str
    in_reference: int
    in_prediction: int
    matched: int


@dataclass(frozen=True)
class FoldCost:
    """One fold's training. Times are training time: pauses between interrupted runs do not count.

    `seconds_per_epoch` is the mean over the epochs, with saving and plotting: times the epochs it is `hours`.
    A fold that is not `finished` has no validation yet: what it has cost so far is no cost of a training.
    """

    fold: str
    epochs: int
    seconds_per_epoch: float | None
    hours: float | None
    mean_validation_dice: float | None
    source: str
    finished: bool = True


@dataclass(frozen=True)
class LearningCurve:
    """One fold's training, one entry per epoch; `hours` is the training time at the end of the epoch."""

    fold: str
    epochs: list[int]
    hours: list[float | None]
    pseudo_dice: list[float | None]
    train_loss: list[float | None]
    validation_loss: list[float | None]


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

    @property
    def of_trainers(self) -> bool:
        """Whether it says something of two trainers: one training a side compares two models."""
        return self.sd_trainings is not None and self.sd_trainings_baseline is not None


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


def to_json(report: Report) -> str:
    """Return the report as JSON text: strict JSON, in which a number that is not defined is null."""
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(report)}
    return json.dumps(_public_names(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def report_without_paths(report: Report, folders: Iterable[Path]) -> Report:
    """The same report, with the name at the end of every absolute path alone.

    Args:
        folders: known ones, see `without_paths`.
    """
    return _report_of(_python_names(without_paths(json.loads(to_json(report)), folders)))


def holds_paths(report: Report) -> bool:
    """Whether an absolute path stands in a report."""
    content = json.loads(to_json(report))
    return bool(without_paths(content, ()) != content)


def read_report(file: Path) -> Report:
    """Read a `report.json`.

    Raises:
        UserError: no such file, cut off, or of another form.
    """
    content = read_json(Path(file), "expected a whole report.json; make the report again")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{file} is no report of nnUNetv2_dale_report (its format is not {FORMAT!r})")
    if content.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{file} has format version {content.get('format_version')}, this command reads {FORMAT_VERSION}; "
            "make the report again from the result folders"
        )
    try:
        return _report_of(_python_names(content))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is no complete report: {type(error).__name__} {error}; make it again") from error


def _report_of(content: Mapping[str, Any]) -> Report:
    known = {item.name: content[item.name] for item in fields(Report) if item.name not in _ADDED}
    known["classes"] = [ClassName(**item) for item in content["classes"]]
    known["metrics"] = [Metric(**item) for item in content["metrics"]]
    known["excluded"] = [ExcludedCase(item["case"], tuple(item["missing_from"])) for item in content["excluded"]]
    known["runs"] = [_run_of(item) for item in content["runs"]]
    known["comparisons"] = [
        Comparison(**{**item, "ci95": item["ci95"] and tuple(item["ci95"])}) for item in content["comparisons"]
    ]
    known["overlays"] = [Overlay(**item) for item in content["overlays"]]
    known["misplaced"] = [misplaced_from_json(item) for item in content.get("misplaced", [])]
    known["links"] = [Link(**item) for item in content.get("links", [])]
    return Report(**known)


def _run_of(content: Mapping[str, Any]) -> Run:
    return Run(
        **{
            **content,
            "empty": [EmptyCount(**item) for item in content["empty"]],
            "costs": [FoldCost(**item) for item in content["costs"]],
            "curves": [LearningCurve(**item) for item in content["curves"]],
            "lesions": [LesionTotal(**item) for item in content.get("lesions", [])],
        }
    )


def _public_names(value: Any) -> Any:
    """`class_key` is `class` in JSON; a number that is not finite is null."""
    if isinstance(value, dict):
        return {"class" if key == "class_key" else key: _public_names(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_public_names(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _python_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {"class_key" if key == "class" else key: _python_names(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_python_names(item) for item in value]
    return value
