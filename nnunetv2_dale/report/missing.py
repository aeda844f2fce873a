"""What result folders lack: folds, files, and cases that were predicted and are in no summary."""

from __future__ import annotations

from collections.abc import Sequence

from nnunetv2_dale.nnunet_files.folders import splits_of
from nnunetv2_dale.nnunet_files.results.misplaced import named_cases
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder, validation_command
from nnunetv2_dale.nnunet_files.splits import read_splits

_DEFAULT_NUMBER_OF_FOLDS = 5


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
            begun = folder.unfinished_folds
            unfinished = (
                f" ({', '.join(begun)} begun, not validated; {validation_command(folder.path, begun[0])})"
                if begun
                else ""
            )
            missing.append(f"{folder.name}: no validation of fold {', '.join(absent)}{unfinished}")
        for file in ("plans.json", "dataset.json"):
            if not (folder.path / file).is_file():
                missing.append(f"{folder.name}: no {file}")
        if folder.unlisted_cases:
            missing.append(
                f"{folder.name}: {named_cases(folder.unlisted_cases)} with a predicted mask in no summary.json; finish "
                "the validation (nnUNetv2_train … --val)"
            )
        if not any(list(folder.fold_folder(fold).glob("training_log*.txt")) for fold in folder.folds):
            missing.append(f"{folder.name}: no training log")
    return missing


def _number_of_folds(folder: ResultFolder) -> int:
    """Folds of the dataset's `splits_final.json`; nnU-Net's five where it is not at hand."""
    split = splits_of(folder.dataset) if folder.dataset else None
    return _DEFAULT_NUMBER_OF_FOLDS if split is None or not split.is_file() else len(read_splits(split))
