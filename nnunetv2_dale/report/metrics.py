"""The metrics a report can hold, and how the values of a case's classes become the value of the case."""

from __future__ import annotations

from collections.abc import Sequence

from nnunetv2_dale.report.report_data import MEAN_CLASS, Metric, Values

_POINT = 0.01
_SAME_WITHIN_MM = 1.0
LESION_F1 = "Lesion F1"
REGIONS = ("all", "fuzzy", "clear")
_REGION_SUFFIX = {"all": "", "fuzzy": " (fuzzy region)", "clear": " (outside fuzzy region)"}


def metric_name(measure: str, region: str) -> str:
    """Return the name of a metric in a region: "Dice", "Dice (fuzzy region)", "Dice (outside fuzzy region)"."""
    return measure + _REGION_SUFFIX[region]


def metrics_of(with_masks: bool) -> list[Metric]:
    """Return what `summary.json` holds; with the masks surface metrics, the fuzzy region and lesions too.

    What was found and what was not is last, so that no column moves.
    """
    found = ("Precision", "Recall", LESION_F1)
    measured = [(name, region) for region in REGIONS for name in ("Dice", "IoU", "HD95", "ASD", "Surface Dice")]
    if with_masks:
        return [_metric(name, region) for name, region in [*measured, *((name, "all") for name in found)]]
    return [_metric(name, "all") for name in ("Dice", "IoU", *found[:2])]


def _metric(measure: str, region: str) -> Metric:
    name = metric_name(measure, region)
    if measure in ("HD95", "ASD"):
        return Metric(name, "mm", False, region, _SAME_WITHIN_MM)
    return Metric(name, "", True, region, _POINT)


def add_case_means(values: Sequence[Values], metrics: Sequence[Metric], class_keys: Sequence[str]) -> None:
    """Add class "mean" to every run's values, in place.

    A ratio: mean over the classes the run's case counts, so that a class found where there is none costs. A distance:
    mean over the classes that have a distance in every run, so that a missed structure, which has none, cannot make
    a run look closer.
    """
    for metric in metrics:
        number = len(values[0][metric.name][class_keys[0]])
        for run_values in values:
            per_class = run_values[metric.name]
            per_class[MEAN_CLASS] = [
                _mean([per_class[key][case] for key in class_keys if _counts(values, metric, key, case)])
                for case in range(number)
            ]


def _counts(values: Sequence[Values], metric: Metric, key: str, case: int) -> bool:
    if metric.unit == "":
        return True
    return all(run_values[metric.name][key][case] is not None for run_values in values)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
