"""The reports at the end of a benchmark: one for each configuration, the first trainer as baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.benchmark.state import read_summary
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import is_empty_folder
from nnunetv2_dale.report.report_data import read_report


def report_arguments(runs: Sequence[Run], configuration: str, results: Path, reports: Path) -> list[str] | None:
    """Arguments for `nnUNetv2_dale_report` that compare every model of `configuration` which has a validated fold.

    Compared are the folds of these runs that every such model has begun, whatever else lies in the folders. The report
    goes to `reports/CONFIGURATION`, in place of an earlier one if it says all of it; a report of other runs stays, and
    the new one lies beside it under a name with its trainers and folds.

    Args:
        runs: the benchmark's runs; the first model among them is the baseline.
        reports: the folder of the reports.
    Returns:
        the arguments, or None when fewer than two models have results.
    """
    mine = [run for run in runs if run.configuration == configuration]
    validated = [run for run in mine if read_summary(run.folder(results)) is not None]
    with_results = {run.model for run in validated}
    absent = {run.fold for run in mine if not run.folder(results).is_dir() and run.model in with_results}
    compared = [run for run in validated if run.fold not in absent]
    models = list(dict.fromkeys(run.folder(results).parent for run in compared))
    if len(models) < 2:
        return None
    folds = [fold for fold in dict.fromkeys(run.fold for run in mine) if fold not in absent]
    target = reports / configuration
    if target.exists() and not is_empty_folder(target) and not _is_of(target, compared):
        trainers = dict.fromkeys(run.trainer for run in compared)
        target = reports / "_".join([configuration, *trainers, "folds", *folds])
    replaces = ["--overwrite"] if _is_of(target, compared) else []
    return [*map(str, models), "-f", *folds, "-o", str(target), *replaces]


def _is_of(folder: Path, compared: Sequence[Run]) -> bool:
    """Whether a folder holds a report that one of these validated runs says everything of, with the same baseline."""
    try:
        report = read_report(folder / "report.json")
    except UserError:
        return False
    old = {(run.name, fold) for run in report.runs for fold in run.folds}
    same = (report.dataset, report.baseline) == (compared[0].dataset, compared[0].model)
    return same and old <= {(run.model, run.fold) for run in compared}
