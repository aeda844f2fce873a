"""One result folder as a run of the report: its facts, its values, what it cost, what of its method ran."""

from __future__ import annotations

from collections.abc import Sequence

from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder
from nnunetv2_dale.nnunet_files.results.same_task import SharedTask
from nnunetv2_dale.nnunet_files.results.training_logs import what_ran
from nnunetv2_dale.report.cost import FoldCost, LearningCurve, read_fold_cost
from nnunetv2_dale.report.missing import missing_folds
from nnunetv2_dale.report.provenance import dale_settings, run_facts, seed_of
from nnunetv2_dale.report.report_data import EmptyCount, Run
from nnunetv2_dale.report.values import AllValues


def run_of_folder(folder: ResultFolder, task: SharedTask, known: AllValues, folders: Sequence[ResultFolder]) -> Run:
    """Return the run; which folds it lacks is told by the other folders."""
    costs, curves = _costs(folder)
    dale = dale_settings(folder)
    ran = {fold: what_ran(sorted(folder.fold_folder(fold).glob("training_log*.txt"))) for fold in folder.folds}
    return Run(
        name=folder.name,
        trainer=folder.trainer,
        plans=folder.plans_name,
        configuration=folder.configuration,
        folds=list(folder.folds),
        missing_folds=missing_folds(folder, folders),
        n_cases=len(folder.cases),
        fold_of_case=[folder.cases[name].fold for name in task.case_names],
        facts=run_facts(folder),
        dale=dale,
        seed=seed_of(folder, dale),
        values=known.values[folder.name],
        empty=[_empty_count(folder, task, item.key) for item in task.classes],
        costs=costs,
        curves=curves,
        ran={fold: sentence for fold, sentence in ran.items() if sentence is not None},
        lesions=known.lesions.get(folder.name, []),
    )


def _costs(folder: ResultFolder) -> tuple[list[FoldCost], list[LearningCurve]]:
    costs, curves = [], []
    for fold in (*folder.folds, *folder.unfinished_folds):
        found = read_fold_cost(folder.fold_folder(fold), fold, folder.mean_dice(fold), fold in folder.folds)
        if found is not None:
            costs.append(found[0])
            curves.append(found[1])
    return costs, curves


def _empty_count(folder: ResultFolder, task: SharedTask, key: str) -> EmptyCount:
    results = [folder.cases[name].classes[key] for name in task.case_names]
    empty = [(result.n_reference == 0, result.n_prediction == 0) for result in results]
    return EmptyCount(key, empty.count((True, True)), empty.count((False, True)), empty.count((True, False)))
