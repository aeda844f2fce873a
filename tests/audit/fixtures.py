"""A small cross-validation with known wrong labels: ellipsoids, networks that are nearly right, and errors by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.audit.evidence import evidence_of
from nnunetv2_dale.audit.referees import audit_task
from nnunetv2_dale.audit.scoring import Judgement, rank_cases
from tests.report.fixtures import DATASET, DATASET_JSON, label_map, write_raw_dataset, write_summary, write_volume

Labels = NDArray[np.uint8]
SPACING_ZYX = (3.0, 1.0, 1.0)


def grown(labels: Labels, value: int, mm: float) -> Labels:
    """One class drawn wider (or, below 0, narrower) by some mm."""
    mask = labels == value
    if mm > 0:
        reached = ndimage.distance_transform_edt(~mask, sampling=SPACING_ZYX) <= mm
        return np.where(reached & (labels == 0), value, labels).astype(np.uint8)
    kept = ndimage.distance_transform_edt(mask, sampling=SPACING_ZYX) > -mm
    return np.where(mask & ~kept, 0, labels).astype(np.uint8)


ERRORS: Mapping[str, Callable[[Labels], Labels]] = {
    "wider": lambda labels: grown(labels, 1, 2.5),
    "narrower": lambda labels: grown(labels, 1, -2.0),
    "shifted": lambda labels: np.roll(labels, 4, axis=2),
    "missed_object": lambda labels: np.where(labels == 2, 0, labels).astype(np.uint8),
    "extra_object": lambda labels: with_box(labels, 2),
    "exchanged": lambda labels: np.array([0, 2, 1], np.uint8)[labels],
    "empty": lambda labels: np.zeros_like(labels),
    "flipped": lambda labels: np.ascontiguousarray(labels[:, ::-1]),
    "other_case": lambda labels: np.roll(labels, 24, axis=2),
}


def with_box(labels: Labels, value: int) -> Labels:
    """A box of another object in a corner."""
    result = labels.copy()
    result[1:5, 1:9, 1:9] = value
    return result


def wobbly(labels: Labels, seed: int, amount: float = 1.0) -> Labels:
    """As a network would draw it: the border moves a little in and out, smoothly, without a side."""
    rng = np.random.default_rng(seed)
    result = np.zeros_like(labels)
    for value in (1, 2):
        mask = labels == value
        if not mask.any():
            continue
        signed = ndimage.distance_transform_edt(~mask, sampling=SPACING_ZYX) - ndimage.distance_transform_edt(
            mask, sampling=SPACING_ZYX
        )
        noise = ndimage.gaussian_filter(rng.standard_normal(labels.shape), (0.7, 2, 2))
        result[signed + amount * noise / noise.std() < 0] = value
    return result


def make_study(
    root: Path, errors: Mapping[int, str], cases: int = 12, referees: int = 1, folds: int = 2
) -> tuple[Path, list[Path]]:
    """(nnUNet_raw, result folders): a dataset whose labels carry `errors` (case number → name of `ERRORS`)."""
    raw = write_raw_dataset(root / "raw", cases)
    for number in range(cases):
        truth = label_map(number)
        if number in errors:
            write_volume(ERRORS[errors[number]](truth), raw / "labelsTr" / f"case_{number:02d}.nii.gz", SPACING_ZYX)
    results = []
    for referee in range(referees):
        folder = root / "results" / DATASET / f"nnUNetTrainer{referee}__nnUNetPlans__3d_fullres"
        for number in range(cases):
            drawn = wobbly(label_map(number), 100 * referee + number)
            file = folder / f"fold_{number % folds}" / "validation" / f"case_{number:02d}.nii.gz"
            write_volume(drawn, file, SPACING_ZYX)
        finish_results(folder, raw)
        results.append(folder)
    return root / "raw", results


def describe_as(folder: Path, labels: Mapping[str, Any], regions: Sequence[Any] = (1, 2)) -> None:
    """Give the dataset of a result folder other labels.

    Args:
        folder: of a study that `make_study` made.
        regions: classes or regions that its summaries are about.
    """
    raw = folder.parents[2] / "raw" / DATASET
    description = json.dumps(DATASET_JSON | {"labels": labels})
    (raw / "dataset.json").write_text(description)
    finish_results(folder, raw, description, regions)


def finish_results(folder: Path, raw: Path, dataset_json: str | None = None, regions: Sequence[Any] = (1, 2)) -> None:
    """Write the summaries, plans and description that nnU-Net leaves in a result folder."""
    for validation in sorted(folder.glob("fold_*/validation")):
        write_summary(validation, raw, regions)
    (folder / "plans.json").write_text(f'{{"dataset_name": "{raw.name}", "plans_name": "nnUNetPlans"}}')
    (folder / "dataset.json").write_text(dataset_json or (raw / "dataset.json").read_text())


def save_probabilities(folder: Path, channels: Sequence[Sequence[int]] = ((0,), (1,), (2,))) -> None:
    """A CASE.npz beside every prediction: sure where the prediction is.

    Args:
        channels: the label values of each.
    """
    for file in folder.glob("fold_*/validation/*.nii.gz"):
        labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))
        soft = np.stack([ndimage.gaussian_filter(np.isin(labels, each).astype(np.float32), 0.6) for each in channels])
        target = file.parent / file.name.replace(".nii.gz", ".npz")
        np.savez_compressed(target, probabilities=soft)  # of classes they sum to 1: the filter is linear


def ellipsoid(shape: Sequence[int], middle: Sequence[float], radii: Sequence[float]) -> NDArray[Any]:
    """A filled ellipsoid, all in voxels."""
    axes = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")
    return np.asarray(sum(((a - m) / r) ** 2 for a, m, r in zip(axes, middle, radii, strict=True)) <= 1)


def write_study(
    root: Path,
    labels: Mapping[str, NDArray[Any]],
    predictions: Mapping[str, NDArray[Any]],
    names: Mapping[str, Any],
    folds: int = 5,
    regions: Sequence[Any] = (),
) -> Path:
    """The result folder of a cross-validation with these labels and predictions; the raw dataset lies in `root/raw`.

    Args:
        names: of the labels, as in `dataset.json`.
        folds: cases go to them in turn.
        regions: that the summaries are about; without, the values of the labels.
    """
    raw, folder = root / "raw" / DATASET, root / "results" / DATASET / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    for number, (case, label) in enumerate(labels.items()):
        write_volume(label.astype(np.uint8), raw / "labelsTr" / f"{case}.nii.gz")
        write_volume(label.astype(np.float32), raw / "imagesTr" / f"{case}_0000.nii.gz")
        validation = folder / f"fold_{number % folds}" / "validation"
        write_volume(predictions[case].astype(np.uint8), validation / f"{case}.nii.gz")
    description = json.dumps(DATASET_JSON | {"labels": names})
    (raw / "dataset.json").write_text(description)
    values = regions or [value for value in names.values() if isinstance(value, int) and value]
    finish_results(folder, raw, description, values)
    return folder


def judge(folder: Path) -> list[Judgement]:
    """What the audit says of a study, without its files."""
    task = audit_task([folder], references=folder.parents[2] / "raw" / DATASET / "labelsTr")
    return rank_cases([evidence_of(inputs, task) for inputs in task.cases], task)
