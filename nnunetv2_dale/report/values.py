"""The value of every metric, class and case of each run: from `summary.json`, and from the masks where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nnunetv2_dale.nnunet_files.results.case_files import CaseFiles
from nnunetv2_dale.nnunet_files.results.misplaced import Misplaced, misplaced_file
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder
from nnunetv2_dale.nnunet_files.results.same_task import SharedTask
from nnunetv2_dale.report.metrics import metrics_of
from nnunetv2_dale.report.report_data import LesionTotal, Metric, Values
from nnunetv2_dale.report.sides import sum_of

if TYPE_CHECKING:
    from nnunetv2_dale.report.measure_cases import MeasuredCase, MeasureSettings


@dataclass
class AllValues:
    """What is known of every case: run name → values, run name → lesions, the files that lie elsewhere, the patches."""

    metrics: list[Metric]
    values: dict[str, Values]
    lesions: dict[str, list[LesionTotal]] = field(default_factory=dict)
    misplaced: list[Misplaced] = field(default_factory=list)
    patches: list[str] = field(default_factory=list)  # of the fuzzy region, in voxels; each once


def summary_values(folders: Sequence[ResultFolder], task: SharedTask) -> AllValues:
    """Return what the summaries hold."""
    return AllValues(metrics_of(with_masks=False), {folder.name: _of_summary(folder, task) for folder in folders})


def add_mask_values(
    known: AllValues,
    folders: Sequence[ResultFolder],
    task: SharedTask,
    files: Sequence[CaseFiles],
    settings: MeasureSettings,
    processes: int,
) -> list[ResultFolder]:
    """Measure the masks and add what they tell, in place.

    Returns:
        the folders, with their cases as the references of `files` judge them.
    """
    from nnunetv2_dale.report.measure_cases import measure_cases

    measured = measure_cases(
        files, [[folder.cases[name] for folder in folders] for name in task.case_names], settings, processes
    )
    known.metrics = metrics_of(with_masks=True)
    judged = list(folders)
    if settings.other_references:
        judged = [_judged(folder, files, measured, number) for number, folder in enumerate(folders)]
        known.values.update(summary_values(judged, task).values)
    for number, folder in enumerate(judged):
        for name in measured[0].runs[number].measures:
            known.values[folder.name][name] = {
                item.key: [case.runs[number].measures[name][item.key] for case in measured] for item in task.classes
            }
        known.lesions[folder.name] = [
            sum_of([case.runs[number].lesions[item.key] for case in measured]) for item in task.classes
        ]
    patches = dict.fromkeys(found.patch for found in measured)
    known.patches = [" × ".join(map(str, patch)) for patch in patches]
    for case, found in zip(files, measured, strict=True):
        if found.image_grid is not None:
            known.misplaced += misplaced_file(case.case, None, case.images[0], found.image_grid)
        for folder, prediction, measures in zip(folders, case.predictions, found.runs, strict=True):
            known.misplaced += misplaced_file(case.case, folder.name, prediction, measures.grid)
    return judged


def _judged(
    folder: ResultFolder, files: Sequence[CaseFiles], measured: Sequence[MeasuredCase], number: int
) -> ResultFolder:
    cases = dict(folder.cases)
    for case, found in zip(files, measured, strict=True):
        classes, reference = found.runs[number].classes, str(case.reference)
        cases[case.case] = replace(cases[case.case], classes=classes, reference_file=reference)
    return replace(folder, cases=cases)


def _of_summary(folder: ResultFolder, task: SharedTask) -> Values:
    cases = [folder.cases[name] for name in task.case_names]
    return {
        metric: {item.key: [getattr(case.classes[item.key], metric.lower()) for case in cases] for item in task.classes}
        for metric in ("Dice", "IoU", "Precision", "Recall")
    }
