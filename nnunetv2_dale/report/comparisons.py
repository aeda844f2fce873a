"""The rows of a report: every candidate against the baseline, in every metric and class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from nnunetv2_dale.nnunet_files.results.same_task import ClassName
from nnunetv2_dale.report.paired_statistics import holm_adjusted, mean_of, paired_statistics, spread_of
from nnunetv2_dale.report.repeated_trainings import training_statistics
from nnunetv2_dale.report.report_data import MEAN_CLASS, Comparison, Metric, Values


def compare(
    values: dict[str, Values],
    metrics: Sequence[Metric],
    classes: Sequence[ClassName],
    patients: Sequence[str] | None = None,
    resamples: int = 9999,
    seed: int = 0,
    trainings: Mapping[str, Sequence[Values]] | None = None,
) -> list[Comparison]:
    """Return all rows, for each candidate and metric the mean first and then the classes.

    Args:
        values: run name → its values; the first run is the baseline.
        metrics, classes: what to compare; the values also hold class "mean".
        patients: patient of each case.
        resamples, seed: of the bootstrap.
        trainings: run name → the values of each training that the run is the mean of.
    """
    baseline, *candidates = values
    rows: list[Comparison] = []
    for candidate in candidates:
        for metric in metrics:
            names = [ClassName(MEAN_CLASS, "mean over classes"), *classes]
            family = [
                _row(baseline, candidate, values, metric, name, patients, resamples=resamples, seed=seed)
                for name in names
            ]
            if trainings is not None:
                sides = (trainings[baseline], trainings[candidate])
                family = [_over_trainings(row, sides, patients, resamples=resamples, seed=seed) for row in family]
            rows += _with_holm(family)
    return rows


def _over_trainings(
    row: Comparison, sides: Sequence[Sequence[Values]], patients: Sequence[str] | None, **bootstrap: Any
) -> Comparison:
    """The row with what its trainings say; the cases' own tests would take them for one."""
    each = [[training[row.metric][row.class_key] for training in side] for side in sides]
    whole = [i for i, values in enumerate(zip(*each[0], *each[1], strict=True)) if None not in values]
    a, b = (np.array([[training[i] for i in whole] for training in side], dtype=np.float64) for side in each)
    kept_patients = None if patients is None else [patients[i] for i in whole]
    found = training_statistics(a, b, kept_patients, **bootstrap)
    row = replace(row, p_ttest=None, p_wilcoxon=None, detectable_difference=None, of_trainers=True)
    return replace(row, **asdict(found))


def _with_holm(family: Sequence[Comparison]) -> Iterator[Comparison]:
    """Holm over the classes' Wilcoxon tests; the mean is one question of its own and stays as it is."""
    mean, *classes = family
    yield replace(mean, p_holm=mean.p_wilcoxon)
    for row, p_holm in zip(classes, holm_adjusted([row.p_wilcoxon for row in classes]), strict=True):
        yield replace(row, p_holm=p_holm)


def _row(
    baseline: str,
    candidate: str,
    values: dict[str, Values],
    metric: Metric,
    name: ClassName,
    patients: Sequence[str] | None,
    **bootstrap: Any,
) -> Comparison:
    first, second = (values[run][metric.name][name.key] for run in (baseline, candidate))
    pairs = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a is not None and b is not None]
    a, b = (np.array([column[i] for i in pairs], dtype=np.float64) for column in (first, second))
    kept_patients = None if patients is None else [patients[i] for i in pairs]
    result = asdict(paired_statistics(a, b, metric.same_within, kept_patients, **bootstrap))
    higher, lower = result.pop("n_higher"), result.pop("n_lower")
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        metric=metric.name,
        unit=metric.unit,
        region=metric.region,
        higher_is_better=metric.higher_is_better,
        same_within=metric.same_within,
        class_key=name.key,
        class_name=name.name,
        n_not_counted=len(first) - len(pairs),
        mean_baseline=mean_of(a),
        mean=mean_of(b),
        sd_baseline=spread_of(a),
        sd=spread_of(b),
        p_holm=None,
        n_better=higher if metric.higher_is_better else lower,
        n_worse=lower if metric.higher_is_better else higher,
        **result,
    )
