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


def summary_metrics() -> list[Metric]:
    """Return what `summary.json` holds."""
    return [Metric(name, "", True, "all", _POINT) for name in ("Dice", "IoU")]


def mask_metrics() -> list[Metric]:
    """Return what needs the masks: surface metrics everywhere, and every metric inside and outside the fuzzy region."""
    metrics = []
    for region in REGIONS:
        if region != "all":
            metrics += [Metric(metric_name(name, region), "", True, region, _POINT) for name in ("Dice", "IoU")]
        metrics += [
            Metric(metric_name("HD95", region), "mm", False, region, _SAME_WITHIN_MM),
            Metric(metric_name("ASD", region), "mm", False, region, _SAME_WITHIN_MM),
            Metric(metric_name("Surface Dice", region), "", True, region, _POINT),
        ]
    return metrics


def found_metrics(with_lesions: bool) -> list[Metric]:
    """Return what was found and what was not: by voxels, and with the masks by lesions.

    Last, so that no column moves.
    """
    names = ("Precision", "Recall", LESION_F1) if with_lesions else ("Precision", "Recall")
    return [Metric(name, "", True, "all", _POINT) for name in names]


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
