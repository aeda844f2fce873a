"""A `summary.json` of nnU-Net: what it says of each case and class, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.json_files import read_json
from nnunetv2_dale.nnunet_files.results.class_keys import class_labels, keys_of_names, own_key

# Longest first, so that .nii.gz is not read as .gz; what nnU-Net's readers and writers support.
_FILE_ENDINGS = (".nii.gz", ".nrrd", ".mha", ".gipl", ".tiff", ".tif", ".png", ".bmp", ".nii")


@dataclass(frozen=True)
class ClassResult:
    """One class of one case in a `summary.json`.

    `dice` and `iou` are in [0, 1], or None when reference and prediction are both empty. The counts are voxels outside
    the ignore label, None where a file does not hold them. `precision` and `recall` follow nnU-Net's rule for the Dice:
    None when both are empty, 0 when one of them is. Where nobody annotated the class, nothing of it is known.
    """

    dice: float | None
    iou: float | None
    true_positives: int | None
    n_reference: int | None
    n_prediction: int | None
    n_voxels: int | None
    annotated: bool = True

    @property
    def precision(self) -> float | None:
        """Share of the prediction that is in the reference, TP / (TP + FP)."""
        return self._share_of(self.n_prediction)

    @property
    def recall(self) -> float | None:
        """Share of the reference that is in the prediction, TP / (TP + FN)."""
        return self._share_of(self.n_reference)

    def _share_of(self, whole: int | None) -> float | None:
        if self.true_positives is None or whole is None or self.n_reference == self.n_prediction == 0:
            return None
        return self.true_positives / whole if whole else 0.0


@dataclass(frozen=True)
class CaseResult:
    """One validated case: its classes' results and the files that nnU-Net compared."""

    name: str
    fold: str
    summary_file: Path
    prediction_file: str
    reference_file: str
    classes: Mapping[str, ClassResult]


def read_summary(summary_file: Path, fold: str, dataset_json: Mapping[str, Any] | None = None) -> list[CaseResult]:
    """Read the cases of one `summary.json`.

    NaN (nnU-Net's value for a class that is in neither the reference nor the prediction) becomes None. Classes are
    named by their label values, whatever spelling the file has (`class_keys`).

    Args:
        dataset_json: the dataset's own, for the ending of its files and the names of its classes.

    Raises:
        UserError: the file is cut off, or is no summary of nnU-Net.
    """
    content = read_json(summary_file, "validate the fold again (nnUNetv2_train … --val)")
    if isinstance(content, dict) and "results" in content and "metric_per_case" not in content:
        raise UserError(
            f"{summary_file} was written by nnU-Net v1, whose results are of another form; evaluate the predictions "
            "again with nnUNetv2_evaluate_folder"
        )
    description = dataset_json or {}
    try:
        names = keys_of_names(description.get("labels", {}))
        rows = content["metric_per_case"]
        cases = [_case_of(row, fold, summary_file, description.get("file_ending"), names) for row in rows]
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


def _case_of(
    row: Mapping[str, Any], fold: str, summary_file: Path, file_ending: str | None, names: Mapping[str, str]
) -> CaseResult:
    prediction_file = str(row["prediction_file"])
    name = base_name(prediction_file)
    name = name.removesuffix(file_ending or known_ending(name))
    classes: dict[str, ClassResult] = {}
    for written, metrics in row["metrics"].items():
        key = own_key(written, names)
        if key in classes:
            raise ValueError(f"case {name} holds class {key} twice")
        classes[key] = _class_of(metrics)
    classes.pop("0", None)
    in_order = dict(sorted(classes.items(), key=lambda item: class_labels(item[0])))
    return CaseResult(name, fold, summary_file, prediction_file, str(row["reference_file"]), in_order)


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


def base_name(file: str) -> str:
    """Return the last part of a path; a summary written on Windows is read on Linux too."""
    return re.split(r"[\\/]", file)[-1]


def known_ending(file: str) -> str:
    """Return the ending of an image file, such as ".nii.gz"."""
    return next((ending for ending in _FILE_ENDINGS if file.endswith(ending)), Path(file).suffix)
