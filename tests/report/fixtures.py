"""Small result folders of nnU-Net with known content: two ellipsoids per case, predictions shifted by known amounts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from nnunetv2.evaluation.evaluate_predictions import compute_metrics, save_summary_json
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from numpy.typing import NDArray

SPACING_ZYX = (3.0, 1.0, 1.0)
DATASET = "Dataset777_Ellipsoids"
DATASET_JSON: dict[str, Any] = {
    "labels": {"background": 0, "large": 1, "small": 2},
    "channel_names": {"0": "MRI"},
    "file_ending": ".nii.gz",
    "numTraining": 10,
}


@dataclass(frozen=True)
class Study:
    """Two result folders of the same dataset, and where its references and images are."""

    raw: Path
    baseline: Path
    candidate: Path

    @property
    def folders(self) -> list[str]:
        """As the command takes them."""
        return [str(self.baseline), str(self.candidate)]


def label_map(case: int, shape: Sequence[int] = (14, 48, 48)) -> NDArray[np.uint8]:
    """A large ellipsoid of label 1 with a small one of label 2 beside it; sizes vary with the case."""
    z, y, x = np.meshgrid(*(np.arange(size) - size / 2 for size in shape), indexing="ij")
    labels = np.zeros(shape, np.uint8)
    labels[(z / 4) ** 2 + ((y + 4) / (9 + case % 3)) ** 2 + (x / 10) ** 2 <= 1] = 1
    labels[(z / 3) ** 2 + ((y - 14) / 5) ** 2 + ((x - case % 4) / 5) ** 2 <= 1] = 2
    return labels


def write_volume(array: NDArray[Any], file: Path, spacing_zyx: Sequence[float] = SPACING_ZYX) -> None:
    """Write an array as an image with that spacing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing([float(value) for value in spacing_zyx[::-1]])
    SimpleITK.WriteImage(image, str(file))


def write_raw_dataset(root: Path, cases: int, name: str = DATASET) -> Path:
    """A raw dataset with labels and one noisy channel; its folder."""
    folder = root / name
    rng = np.random.default_rng(0)
    for case in range(cases):
        labels = label_map(case)
        image = (labels * 40 + rng.normal(0, 10, labels.shape)).astype(np.float32)
        write_volume(labels, folder / "labelsTr" / f"case_{case:02d}.nii.gz")
        write_volume(image, folder / "imagesTr" / f"case_{case:02d}_0000.nii.gz")
    (folder / "dataset.json").write_text(json.dumps(DATASET_JSON))
    return folder


def write_results(
    folder: Path, raw: Path, shifts: Mapping[str, int], folds: int = 2, plans: Mapping[str, Any] | None = None
) -> Path:
    """A result folder whose prediction of each case is the reference shifted by that many voxels along x."""
    for number, (case, shift) in enumerate(shifts.items()):
        reference = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(raw / "labelsTr" / f"{case}.nii.gz")))
        validation = folder / f"fold_{number % folds}" / "validation"
        write_volume(np.roll(reference, shift, axis=2), validation / f"{case}.nii.gz")
    for validation in sorted(folder.glob("fold_*/validation")):
        write_summary(validation, raw)
    content = plans or {"dataset_name": raw.name, "plans_name": "nnUNetPlans", "configurations": {}}
    (folder / "plans.json").write_text(json.dumps(content))
    (folder / "dataset.json").write_text(json.dumps(DATASET_JSON))
    return folder


def write_summary(validation: Path, raw: Path, regions: Sequence[Any] = (1, 2), labels: str = "labelsTr") -> None:
    """The `summary.json` that nnU-Net itself would write, made by its functions."""
    cases = [
        compute_metrics(str(raw / labels / file.name), str(file), SimpleITKIO(), list(regions))
        for file in sorted(validation.glob("*.nii.gz"))
    ]
    for case in cases:
        for metrics in case["metrics"].values():
            metrics.update({key: value.item() for key, value in metrics.items() if hasattr(value, "item")})
    save_summary_json({"metric_per_case": cases, "mean": {}, "foreground_mean": {}}, str(validation / "summary.json"))


def training_log(epochs: int, seconds: float, first_dice: float = 0.3, start: str = "2025-01-01 00:00:00") -> str:
    """A training log as nnU-Net writes it: epochs of that many seconds, one second apart."""
    begin = np.datetime64(start.replace(" ", "T"), "us")
    lines = ["", "#######", "Please cite the following paper when using nnU-Net:", ""]
    for epoch in range(epochs):
        at = begin + np.timedelta64(int(epoch * (seconds + 1) * 1e6), "us")
        done = at + np.timedelta64(int(seconds * 1e6), "us")
        dice = first_dice + 0.6 * epoch / max(1, epochs - 1)
        stamp, end = (str(moment).replace("T", " ") for moment in (at, done))
        lines += [
            f"{stamp}: Epoch {epoch} ",
            f"{stamp}: Current learning rate: 0.01 ",
            f"{end}: train_loss -{dice:.4f} ",
            f"{end}: val_loss -{dice / 2:.4f} ",
            f"{end}: Pseudo dice [np.float32({dice:.4f}), np.float32(nan), np.float32({dice:.4f})] ",
            f"{end}: Epoch time: {seconds} s ",
        ]
    return "\n".join([*lines, ""])


def make_study(root: Path, cases: int = 8) -> Study:
    """A study in which the candidate is exact where the baseline is shifted, but for one case."""
    raw = write_raw_dataset(root / "raw", cases)
    names = [f"case_{case:02d}" for case in range(cases)]
    results = root / "results" / DATASET
    plans = {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "configurations": {
            "3d_fullres": {"patch_size": [16, 48, 48], "batch_size": 2, "spacing": [3.0, 1.0, 1.0]},
        },
    }
    with_dale = json.loads(json.dumps(plans))
    with_dale["configurations"]["3d_fullres"]["dale"] = {"alignment_weight": 0.0, "seed": 7}
    baseline = write_results(
        results / "nnUNetTrainer__nnUNetPlans__3d_fullres",
        raw,
        {name: 1 + n % 3 for n, name in enumerate(names)},
        plans=plans,
    )
    candidate = write_results(
        results / "nnUNetTrainerDALE__nnUNetPlans__3d_fullres",
        raw,
        {name: 4 if n == 3 else n % 2 for n, name in enumerate(names)},
        plans=with_dale,
    )
    for fold in range(2):
        (baseline / f"fold_{fold}" / "training_log_2025_1_1_00_00_00.txt").write_text(training_log(10, 20.0))
        (candidate / f"fold_{fold}" / "training_log_2025_1_1_00_00_00.txt").write_text(training_log(8, 44.0))
    return Study(raw, baseline, candidate)
