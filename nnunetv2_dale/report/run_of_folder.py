"""One result folder as a run of the report: facts, values, cost, what of its method ran, and what it lacks."""

from __future__ import annotations

from collections.abc import Sequence

from nnunetv2_dale.nnunet_files.folders import splits_of
from nnunetv2_dale.nnunet_files.results.misplaced import named_cases
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder, validation_command
from nnunetv2_dale.nnunet_files.results.same_task import SharedTask
from nnunetv2_dale.nnunet_files.results.training_logs import training_logs, what_ran
from nnunetv2_dale.nnunet_files.splits import read_splits
from nnunetv2_dale.report.cost import FoldCost, LearningCurve, read_fold_cost
from nnunetv2_dale.report.provenance import dale_settings, run_facts, seed_of
from nnunetv2_dale.report.report_data import EmptyCount, Run
from nnunetv2_dale.report.values import AllValues

_DEFAULT_NUMBER_OF_FOLDS = 5


def run_of_folder(folder: ResultFolder, task: SharedTask, known: AllValues, folders: Sequence[ResultFolder]) -> Run:
    """Return the run; which folds it lacks is told by the other folders."""
    costs, curves = _costs(folder)
    dale = dale_settings(folder)
    ran = {fold: what_ran(training_logs(folder.fold_folder(fold))) for fold in folder.folds}
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


def missing_folds(folder: ResultFolder, folders: Sequence[ResultFolder]) -> list[str]:
    """Folds without a validation: of the dataset's split, else of nnU-Net's five, and of those another folder has.

    Where the user chose folds, of these alone.
    """
    if any(not fold.isdigit() for fold in folder.folds):
        return []
    expected = {str(number) for number in range(_number_of_folds(folder))} | {
        fold for other in folders for fold in (*other.folds, *other.unfinished_folds) if fold.isdigit()
    }
    if folder.asked_folds is not None:
        expected &= set(folder.asked_folds)
    return sorted(expected - set(folder.folds), key=int)


def missing_of_runs(folders: Sequence[ResultFolder]) -> list[str]:
    """Return a sentence for each thing that a folder lacks."""
    missing = []
    for folder in folders:
        absent = missing_folds(folder, folders)
        if absent:
            sentence = f"{folder.name}: no validation of fold {', '.join(absent)}"
            if begun := folder.unfinished_folds:
                sentence += f" ({', '.join(begun)} begun, not validated; {validation_command(folder.path, begun[0])})"
            missing.append(sentence)
        for file in ("plans.json", "dataset.json"):
            if not (folder.path / file).is_file():
                missing.append(f"{folder.name}: no {file}")
        if folder.unlisted_cases:
            missing.append(
                f"{folder.name}: {named_cases(folder.unlisted_cases)} with a predicted mask in no summary.json; finish "
                "the validation (nnUNetv2_train … --val)"
            )
        if not any(training_logs(folder.fold_folder(fold)) for fold in folder.folds):
            missing.append(f"{folder.name}: no training log")
    return missing


def _number_of_folds(folder: ResultFolder) -> int:
    """Folds of the dataset's `splits_final.json`; nnU-Net's five where it is not at hand."""
    split = splits_of(folder.dataset) if folder.dataset else None
    return _DEFAULT_NUMBER_OF_FOLDS if split is None or not split.is_file() else len(read_splits(split))
