"""The reports at the end of a benchmark: one for each configuration, the first trainer as baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.benchmark.state import read_summary
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.atomic_output import is_empty_folder
from nnunetv2_dale.report.report_folder import read_report
from nnunetv2_dale.report.sides import REPEAT


def compared_runs(runs: Sequence[Run], configuration: str) -> Iterator[tuple[list[Run], str]]:
    """The runs of each report, and its name: all of a configuration, or, repeated, the first trainer and one other."""
    mine = [run for run in runs if run.configuration == configuration]
    if all(run.repeat is None for run in mine):
        yield mine, configuration
        return
    baseline, *others = dict.fromkeys(_side(run) for run in mine)
    for other in others:
        name = configuration if len(others) == 1 else f"{configuration}_{other.rpartition('__')[0]}"
        yield [run for run in mine if _side(run) in (baseline, other)], name


def report_arguments(runs: Sequence[Run], name: str, results: Path, reports: Path) -> list[str] | None:
    """Arguments for `nnUNetv2_dale_report` that compare every model of these runs which has a validated fold.

    Compared are the folds of these runs that every such model has begun, whatever else lies in the folders. Repeated
    trainings are the two sides of a comparison of trainers. The report goes to `reports/name`, in place of an earlier
    one if it says all of it; a report of other runs stays, and the new one lies beside it under a name with its
    trainers and folds.

    Args:
        runs: of one report; the first model among them is the baseline.
        name: of the report.
        reports: the folder of the reports.
    Returns:
        the arguments, or None when fewer than two models have results, or, repeated, fewer than two of either side.
    """
    validated = [run for run in runs if read_summary(run.folder(results)) is not None]
    with_results = {run.model for run in validated}
    absent = {run.fold for run in runs if not run.folder(results).is_dir() and run.model in with_results}
    compared = [run for run in validated if run.fold not in absent]
    sides: dict[str, dict[str, None]] = {_side(run): {} for run in runs}
    for run in compared:
        sides[_side(run)][str(run.folder(results).parent)] = None
    models = [model for side in sides.values() for model in side]
    repeated = any(run.repeat is not None for run in runs)
    if repeated and (len(sides) < 2 or min(map(len, sides.values())) < 2):
        return None
    if len(models) < 2:
        return None
    if repeated:
        baseline, candidate = sides.values()
        models = [*candidate, "--against", *baseline]
    folds = [fold for fold in dict.fromkeys(run.fold for run in runs) if fold not in absent]
    target = reports / name
    if target.exists() and not is_empty_folder(target) and not _is_of(target, compared):
        trainers = dict.fromkeys(run.trainer for run in compared)
        target = reports / "_".join([name, *trainers, "folds", *folds])
    replaces = ["--overwrite"] if _is_of(target, compared) else []
    return [*models, "-f", *folds, "-o", str(target), *replaces]


def _side(run: Run) -> str:
    """The model without the number of its training."""
    return REPEAT.sub("", run.model)


def _is_of(folder: Path, compared: Sequence[Run]) -> bool:
    """Whether a folder holds a report that one of these validated runs says everything of, with the same baseline."""
    try:
        report = read_report(folder / "report.json")
    except UserError:
        return False
    old = {(name, fold) for run in report.runs for name in (run.trainings or [run.name]) for fold in run.folds}
    first = (report.runs[0].trainings or [report.baseline])[0]
    same = (report.dataset, first) == (compared[0].dataset, compared[0].model)
    return same and old <= {(run.model, run.fold) for run in compared}
