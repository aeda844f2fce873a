"""The reports at the end of a benchmark: one for each configuration, the first trainer as baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.benchmark.state import read_summary


def report_arguments(runs: Sequence[Run], configuration: str, results: Path, target: Path) -> list[str] | None:
    """Arguments for `nnUNetv2_dale_report` that compare every model of `configuration` which has a validated fold.

    Args:
        runs: the benchmark's runs; the first model among them is the baseline.
        target: the report's folder; it is replaced, since it is made from the same results again.
    Returns:
        the arguments, or None when fewer than two models have results.
    """
    models: dict[Path, bool] = {}
    for run in runs:
        if run.configuration == configuration:
            folder = run.folder(results)
            models[folder.parent] = models.get(folder.parent, False) or read_summary(folder) is not None
    with_results = [str(folder) for folder, validated in models.items() if validated]
    if len(with_results) < 2:
        return None
    return [*with_results, "-o", str(target), "--overwrite"]
