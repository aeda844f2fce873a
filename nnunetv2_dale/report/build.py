"""From result folders to a `Report`: read, check, measure, compare. Nothing is written here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from nnunetv2_dale.commands.command_line import UserError, require_package
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.results.case_files import CaseFiles, find_case_files
from nnunetv2_dale.nnunet_files.results.misplaced import misplaced_remarks
from nnunetv2_dale.nnunet_files.results.not_annotated import sentences_on_open_classes
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder
from nnunetv2_dale.nnunet_files.results.same_task import SharedTask, read_result_folders, shared_task
from nnunetv2_dale.nnunet_files.results.training_logs import did_not_run, folds_of_each
from nnunetv2_dale.nnunet_files.splits import read_patients
from nnunetv2_dale.report.comparisons import compare
from nnunetv2_dale.report.lesions import MATCHED_ABOVE_IOU
from nnunetv2_dale.report.metrics import add_case_means
from nnunetv2_dale.report.provenance import versions
from nnunetv2_dale.report.report_data import Report, Run, Values
from nnunetv2_dale.report.run_of_folder import missing_of_runs, run_of_folder
from nnunetv2_dale.report.sides import two_sides
from nnunetv2_dale.report.values import add_mask_values, summary_values

if TYPE_CHECKING:
    from nnunetv2_dale.report.measure_cases import MeasureSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportSettings:
    """What a report measures and how."""

    folds: tuple[str, ...] | None = None
    references: Path | None = None
    images: Path | None = None
    patients: Path | None = None
    tolerance_mm: float = 2.0
    tau: float = 0.9
    patch_size: int = 16
    summary_only: bool = False
    processes: int = 1
    resamples: int = 9999
    seed: int = 0


@dataclass(frozen=True)
class BuiltReport:
    """The numbers, and the files pictures can be drawn from (empty where masks are not at hand)."""

    report: Report
    files: list[CaseFiles]
    folders: list[ResultFolder]


def build_report(
    paths: Sequence[Path], settings: ReportSettings, command: str = "", against: Sequence[Path] = ()
) -> BuiltReport:
    """Compare two or more result folders; the first is the baseline.

    With `against`, those are trainings of the baseline, and `paths` trainings of one candidate.

    Raises:
        UserError: input that cannot be compared; the sentence names the file.
    """
    require_package("the report", "statsmodels", "report")
    if against and min(len(paths), len(against)) < 2:
        raise UserError("to compare two trainers, give two or more trainings of each, before and after --against")
    if len(paths) < 2:
        raise UserError("give two or more result folders; the first is the baseline")
    folders = read_result_folders([*against, *paths], settings.folds)
    task = shared_task(folders)
    table = None if settings.patients is None else read_patients(settings.patients, task.case_names)
    patients = None if table is None else [table[name] for name in task.case_names]
    files, missing = _masks(folders, task, settings)
    known = summary_values(folders, task)
    if files:
        if settings.references is not None:
            folders = read_result_folders([*against, *paths], settings.folds, settings.references)
        stated = folders
        measured = _measured(folders, task, files, settings)
        folders = add_mask_values(known, folders, task, files, measured, settings.processes)
        missing += _other_references(stated[0], folders[0], task, settings)
    add_case_means(list(known.values.values()), known.metrics, [item.key for item in task.classes])
    logger.info("comparing %d cases", len(task.case_names))
    runs = [run_of_folder(folder, task, known, folders) for folder in folders]
    remarks = [*_remarks(folders, runs, task), *misplaced_remarks(known.misplaced)]
    trainings: dict[str, list[Values]] | None = None
    if against:
        runs, trainings = two_sides(runs[: len(against)], runs[len(against) :])
    values = {run.name: run.values for run in runs}
    report = Report(
        dataset=task.dataset or "unnamed dataset",
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        baseline=runs[0].name,
        classes=list(task.classes),
        metrics=known.metrics,
        case_names=list(task.case_names),
        patients=patients,
        excluded=list(task.excluded),
        runs=runs,
        comparisons=compare(
            values, known.metrics, task.classes, patients, settings.resamples, settings.seed, trainings
        ),
        settings=_settings_shown(settings, files, known.patches),
        versions=versions(),
        missing=[*missing, *missing_of_runs(folders)],
        remarks=remarks,
        misplaced=known.misplaced,
    )
    return BuiltReport(report, files, folders)


def _masks(
    folders: Sequence[ResultFolder], task: SharedTask, settings: ReportSettings
) -> tuple[list[CaseFiles], list[str]]:
    if settings.summary_only:
        return [], ["surface metrics and the fuzzy region were not asked for (--summary_only)"]
    return find_case_files(folders, task.case_names, settings.references, settings.images)


def _measured(
    folders: Sequence[ResultFolder], task: SharedTask, files: Sequence[CaseFiles], settings: ReportSettings
) -> MeasureSettings:
    from nnunetv2_dale.report.measure_cases import MeasureSettings
    from nnunetv2_dale.report.volumes import mask_reader

    return MeasureSettings(
        class_keys=tuple(item.key for item in task.classes),
        ignore_label=folders[0].dataset_json.get("labels", {}).get("ignore"),
        tolerance_mm=settings.tolerance_mm,
        tau=settings.tau,
        patch_size=settings.patch_size,
        reader=mask_reader(folders[0], files[0].reference),
        other_references=settings.references is not None,
    )


def _other_references(
    stated: ResultFolder, judged: ResultFolder, task: SharedTask, settings: ReportSettings
) -> list[str]:
    """A sentence where the masks that judge are not those that `summary.json` was made with."""
    sizes = [
        [[each.n_reference for each in folder.cases[name].classes.values()] for name in task.case_names]
        for folder in (stated, judged)
    ]
    other = sum(was != now for was, now in zip(*sizes, strict=True))
    sentence = (
        f"{settings.references} judges: {other} of {len(task.case_names)} references there are not those of "
        "summary.json; Dice, IoU, precision and recall are measured anew"
    )
    return [sentence] if other else []


def _remarks(folders: Sequence[ResultFolder], runs: Sequence[Run], task: SharedTask) -> list[str]:
    remarks = [f"{folder.name}: {remark}" for folder in folders for remark in folder.remarks]
    remarks += [
        f"{run.name}: {sentence} (fold {', '.join(folds)})"
        for run in runs
        for sentence, folds in folds_of_each(run.ran).items()
        if did_not_run(sentence)
    ]
    first = folders[0]
    names = {item.key: item.name for item in task.classes}
    shared = {name: first.cases[name] for name in task.case_names}
    remarks += sentences_on_open_classes(shared, names)
    for other in folders[1:]:
        moved = [name for name in task.case_names if first.cases[name].fold != other.cases[name].fold]
        if moved:
            remarks.append(
                f"{other.name} validated {counted(len(moved), 'case')} in another fold than {first.name}: the networks "
                "compared there did not train on the same cases"
            )
    return remarks


def _settings_shown(settings: ReportSettings, files: Sequence[CaseFiles], patches: Sequence[str]) -> dict[str, object]:
    shown: dict[str, object] = {
        "bootstrap_resamples": settings.resamples,
        "bootstrap_seed": settings.seed,
        "confidence": 0.95,
        "power": 0.8,
        "clustered_by_patient": settings.patients is not None,
    }
    if files:
        shown |= {
            "surface_dice_tolerance_mm": settings.tolerance_mm,
            "fuzzy_tau": settings.tau,
            "fuzzy_patch_size": settings.patch_size,
            "fuzzy_patches": ", ".join(patches),
            "fuzzy_source": "image and reference" if files[0].images else "reference edges alone",
            "lesions_matched_above_iou": MATCHED_ABOVE_IOU,
        }
    return shown
