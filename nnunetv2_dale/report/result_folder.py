"""What a result folder of nnU-Net holds: the folds' `summary.json`, the plans, the dataset's description."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError

# Longest first, so that .nii.gz is not read as .gz; what nnU-Net's readers and writers support.
_FILE_ENDINGS = (".nii.gz", ".nrrd", ".mha", ".gipl", ".tiff", ".tif", ".png", ".bmp", ".nii")
_ONLY_FOLD = "-"


@dataclass(frozen=True)
class ClassResult:
    """One class of one case in a `summary.json`.

    `dice` and `iou` are in [0, 1], or None when reference and prediction are both empty. The counts are voxels outside
    the ignore label, None where a file does not hold them.
    """

    dice: float | None
    iou: float | None
    true_positives: int | None
    n_reference: int | None
    n_prediction: int | None
    n_voxels: int | None


@dataclass(frozen=True)
class CaseResult:
    """One validated case: its classes' results and the files that nnU-Net compared."""

    name: str
    fold: str
    summary_file: Path
    prediction_file: str
    reference_file: str
    classes: Mapping[str, ClassResult]


@dataclass(frozen=True)
class ResultFolder:
    """A folder `…/DATASET/TRAINER__PLANS__CONFIG`, or any folder that holds a `summary.json` of nnU-Net."""

    path: Path
    name: str
    dataset: str | None
    trainer: str | None
    plans_name: str | None
    configuration: str | None
    folds: tuple[str, ...]
    unfinished_folds: tuple[str, ...]
    cases: Mapping[str, CaseResult]
    plans: Mapping[str, Any] = field(default_factory=dict)
    dataset_json: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def class_keys(self) -> tuple[str, ...]:
        """The foreground classes or regions as nnU-Net writes them: "1", "(1, 2)"."""
        return tuple(next(iter(self.cases.values())).classes)

    @property
    def file_ending(self) -> str:
        """Ending of the segmentation files, such as ".nii.gz"."""
        known = self.dataset_json.get("file_ending")
        return str(known) if known else _file_ending(next(iter(self.cases.values())).prediction_file)

    def fold_folder(self, fold: str) -> Path:
        """Where the training log and the checkpoints of a fold are."""
        return self.path if fold == _ONLY_FOLD else self.path / f"fold_{fold}"


def read_result_folder(path: Path, folds: Iterable[str] | None = None) -> ResultFolder:
    """Read a result folder without opening any image.

    Looked for, in this order: `fold_*/validation/summary.json`, `crossval_results_folds_*/summary.json`,
    `summary.json`. The training cases that fold `all` validates on count only when there is no other fold.

    Args:
        path: the folder.
        folds: read only these, such as ["0", "1"]; None reads all.
    Raises:
        UserError: no such folder, nothing of nnU-Net in it, a file that is cut off, or a case validated twice.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path} is no folder; expected a result folder of nnU-Net (DATASET/TRAINER__PLANS__CONFIG)")
    path = path.resolve()
    summaries, unfinished, remarks = _find_summaries(path, None if folds is None else list(folds))
    plans, dataset_json = _optional_json(path / "plans.json"), _optional_json(path / "dataset.json")
    cases: dict[str, CaseResult] = {}
    for fold, summary_file in summaries.items():
        for case in read_summary(summary_file, fold, dataset_json.get("file_ending")):
            if case.name in cases:
                raise UserError(
                    f"{summary_file} holds case {case.name}, which is also in {cases[case.name].summary_file}; choose "
                    "folds with -f so that every case is validated once"
                )
            cases[case.name] = case
    trainer, plans_name, configuration = _parts_of_name(path.name)
    return ResultFolder(
        path=path,
        name=path.name,
        dataset=plans.get("dataset_name") or _dataset_of(path.parent),
        trainer=trainer,
        plans_name=plans_name or plans.get("plans_name"),
        configuration=configuration,
        folds=tuple(summaries),
        unfinished_folds=tuple(unfinished),
        cases=cases,
        plans=plans,
        dataset_json=dataset_json,
        remarks=tuple(remarks),
    )


def read_summary(summary_file: Path, fold: str, file_ending: str | None = None) -> list[CaseResult]:
    """The cases of one `summary.json`.

    NaN (nnU-Net's value for a class that is in neither the reference nor the prediction) becomes None.

    Raises:
        UserError: the file is cut off, or is no summary of nnU-Net.
    """
    content = _read_json(summary_file)
    try:
        rows = content["metric_per_case"]
        cases = [_case_of(row, fold, summary_file, file_ending) for row in rows]
        keys = {tuple(case.classes) for case in cases}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{summary_file} is no summary of nnU-Net: expected metric_per_case with metrics, prediction_file and "
            f"reference_file, got {type(error).__name__}: {error}"
        ) from error
    if not cases:
        raise UserError(f"{summary_file} holds no cases; validate the fold again (nnUNetv2_train … --val)")
    if len(keys) > 1 or not next(iter(keys)):
        raise UserError(f"{summary_file} has cases of different classes: {sorted(keys)}; evaluate them in one run")
    return cases


def _find_summaries(path: Path, folds: list[str] | None) -> tuple[dict[str, Path], list[str], list[str]]:
    """Summary file of each fold, names of the folds without one, and remarks."""
    fold_folders = {
        folder.name.removeprefix("fold_"): folder
        for folder in sorted(path.glob("fold_*"), key=_fold_order)
        if folder.is_dir()
    }
    if folds is not None:
        fold_folders = {fold: folder for fold, folder in fold_folders.items() if fold in folds}
    remarks = []
    if "all" in fold_folders:
        if len(fold_folders) > 1:
            remarks.append("fold all is left out: it validates on its own training cases")
            del fold_folders["all"]
        else:
            remarks.append("fold all validates on its own training cases: its numbers say nothing about new ones")
    summaries = {fold: folder / "validation" / "summary.json" for fold, folder in fold_folders.items()}
    found = {fold: file for fold, file in summaries.items() if file.is_file()}
    if not found and folds is None:
        alone = sorted(path.glob("crossval_results_folds_*/summary.json"))[:1] or [path / "summary.json"]
        if alone[0].is_file():
            return {_ONLY_FOLD: alone[0]}, [], [f"no folds: the cases come from {alone[0].relative_to(path)} alone"]
    if not found:
        asked = "" if folds is None else f" for folds {' '.join(folds)}"
        raise UserError(
            f"{path} is no result folder of nnU-Net{asked}: expected fold_*/validation/summary.json, "
            f"crossval_results_folds_*/summary.json or summary.json in it"
        )
    return found, [fold for fold in summaries if fold not in found], remarks


def _case_of(row: Mapping[str, Any], fold: str, summary_file: Path, file_ending: str | None) -> CaseResult:
    prediction_file = str(row["prediction_file"])
    name = _base_name(prediction_file)
    name = name.removesuffix(file_ending or _file_ending(name))
    classes = {key: _class_of(metrics) for key, metrics in row["metrics"].items() if key != "0"}
    return CaseResult(name, fold, summary_file, prediction_file, str(row["reference_file"]), classes)


def _class_of(metrics: Mapping[str, Any]) -> ClassResult:
    counts = {key: _count(metrics.get(key)) for key in ("TP", "FP", "FN", "TN")}
    tp, fp, fn, tn = (counts[key] for key in ("TP", "FP", "FN", "TN"))
    n_reference = tp + fn if tp is not None and fn is not None else _count(metrics.get("n_ref"))
    n_prediction = tp + fp if tp is not None and fp is not None else _count(metrics.get("n_pred"))
    both_empty = n_reference == 0 and n_prediction == 0
    known = [value for value in (tp, fp, fn, tn) if value is not None]
    return ClassResult(
        dice=None if both_empty else _ratio(metrics["Dice"]),
        iou=None if both_empty else _ratio(metrics["IoU"]) if "IoU" in metrics else None,
        true_positives=tp,
        n_reference=n_reference,
        n_prediction=n_prediction,
        n_voxels=sum(known) if len(known) == 4 else None,
    )


def _ratio(value: Any) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    if not 0 <= value <= 1:
        raise ValueError(f"a ratio of {value}, outside 0 to 1")
    return float(value)


def _count(value: Any) -> int | None:
    return None if value is None or not math.isfinite(value) else int(value)


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no complete JSON file ({error}); was it cut off? Make it again") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error


def _optional_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    content = _read_json(file)
    if not isinstance(content, dict):
        raise UserError(f"{file} holds no JSON object; expected nnU-Net's own {file.name}")
    return content


def _parts_of_name(name: str) -> tuple[str | None, str | None, str | None]:
    parts = name.split("__")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (None, None, None)


def _dataset_of(folder: Path) -> str | None:
    return folder.name if re.match(r"Dataset\d{3}_", folder.name) else None


def _fold_order(folder: Path) -> tuple[int, str]:
    number = folder.name.removeprefix("fold_")
    return (int(number), "") if number.isdigit() else (10**6, number)


def _base_name(file: str) -> str:
    # A summary written on Windows is read on Linux too.
    return re.split(r"[\\/]", file)[-1]


def _file_ending(file: str) -> str:
    return next((ending for ending in _FILE_ENDINGS if file.endswith(ending)), Path(file).suffix)
