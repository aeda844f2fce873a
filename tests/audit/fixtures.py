"""A small cross-validation with known wrong labels: ellipsoids, networks that are nearly right, and errors by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.audit.evidence import evidence_of
from nnunetv2_dale.audit.referees import audit_task
from nnunetv2_dale.audit.scoring import Judgement, rank_cases
from tests.datasets import (
    ELLIPSOIDS,
    SPACING_ZYX,
    change_description,
    ellipsoids,
    finish_results,
    read_volume,
    write_ellipsoids,
    write_raw_dataset,
    write_results,
    write_volume,
)

Labels = NDArray[np.uint8]


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
    raw = write_ellipsoids(root / "raw", cases)
    names = [f"case_{number:02d}" for number in range(cases)]
    for number, error in errors.items():
        write_volume(ERRORS[error](ellipsoids(number)), raw / f"labelsTr/{names[number]}.nii.gz")
    results = []
    for referee in range(referees):
        folder = root / "results" / ELLIPSOIDS / f"nnUNetTrainer{referee}__nnUNetPlans__3d_fullres"
        drawn = {name: wobbly(ellipsoids(number), 100 * referee + number) for number, name in enumerate(names)}
        results.append(write_results(folder, raw, drawn, folds))
    return root / "raw", results


def describe_as(folder: Path, labels: Mapping[str, Any], regions: Sequence[Any] = (1, 2)) -> None:
    """Give the dataset of a result folder other labels.

    Args:
        folder: of a study that `make_study` made.
        regions: classes or regions that its summaries are about.
    """
    raw = folder.parents[2] / "raw" / ELLIPSOIDS
    change_description(raw, labels=labels)
    finish_results(folder, raw, regions)


def save_probabilities(folder: Path, channels: Sequence[Sequence[int]] = ((0,), (1,), (2,))) -> None:
    """A CASE.npz beside every prediction: sure where the prediction is.

    Args:
        channels: the label values of each.
    """
    for file in folder.glob("fold_*/validation/*.nii.gz"):
        labels = read_volume(file)
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
    maps = {case: drawn.astype(np.uint8) for case, drawn in labels.items()}
    raw = write_raw_dataset(root / "raw" / ELLIPSOIDS, maps, labels=names)
    values = regions or [value for value in names.values() if isinstance(value, int) and value]
    folder = root / "results" / ELLIPSOIDS / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    drawn = {case: drawn.astype(np.uint8) for case, drawn in predictions.items()}
    return write_results(folder, raw, drawn, folds, regions=values)


def audit_of(folders: Path | Sequence[Path], output: Path, *words: str) -> dict[str, Any]:
    """What the command writes on result folders of a study, as audit.json has it."""
    given = [folders] if isinstance(folders, Path) else folders
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(given[0].parents[2] / "raw"))
        patch.delenv("nnUNet_preprocessed", raising=False)
        assert main([*map(str, given), "-o", str(output), "-np", "1", *words]) == 0
    return dict(json.loads((output / "audit.json").read_text()))


def judge(folder: Path) -> list[Judgement]:
    """What the audit says of a study, without its files."""
    task = audit_task([folder], references=folder.parents[2] / "raw" / ELLIPSOIDS / "labelsTr")
    return rank_cases([evidence_of(inputs, task) for inputs in task.cases], task)


def normal(count: int, seed: int = 0) -> np.ndarray:
    """Quantiles of a normal distribution, shuffled: a sample without luck."""
    from scipy.stats import norm

    return np.random.default_rng(seed).permutation(norm.ppf((np.arange(count) + 0.5) / count))
