"""Augmented batches, made once by nnU-Net's own loader and read by every arm of the study.

All arms of a fold and seed see the same images in the same order, with the labels of the dataset they train on: the
loader carries all versions of a label (clean, noisy) as channels of one segmentation through the same augmentation.
It also tells which voxels of a batch are wrongly labelled, and no arm pays for augmentation, which nnU-Net makes beside
the training.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Batches:
    """Batches on disk; iteration i reads batch i, and starts again at the end."""

    images: NDArray[np.float32]  # (N, B, C, *S)
    labels: list[NDArray[np.int8]]  # per resolution (N, B, versions, *S)
    cases: list[list[str]]  # (N, B) names
    versions: list[str]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, number: int, version: str) -> dict[str, Any]:
        """As nnU-Net's loader gives it, with the labels of one version."""
        number %= len(self)
        channel = self.versions.index(version)
        targets = [torch.from_numpy(each[number, :, channel : channel + 1].astype(np.int16)) for each in self.labels]
        return {"data": torch.from_numpy(self.images[number].copy()), "target": targets, "keys": self.cases[number]}

    def changed(self, number: int, version: str) -> Tensor:
        """(B, 1, *S) bool: where the label of a version differs from the first, which is clean."""
        labels = torch.from_numpy(self.labels[0][number % len(self)].copy())
        return labels[:, :1] != labels[:, self.versions.index(version)][:, None]


def make_batches(folder: Path, trainer: nnUNetTrainer, label_folders: Sequence[Path], count: int) -> None:
    """Write `count` batches of the loader of an initialised trainer; a folder that holds them already is left alone.

    The loader works in this process and draws from NumPy's and torch's global generators. The label folders hold one
    configuration each, the trainer's first; versions of the labels are named after the datasets' numbers.
    """
    if (folder / "batches.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112 -- nnU-Net's name
    trainer.dataset_class = _with_versions(label_folders[1:])
    loader, _ = trainer.get_dataloaders()
    images: Any = None
    labels: list[Any] = []
    cases = []
    for number in range(count):
        batch = next(loader)
        if images is None:
            images = _file(folder / "images.npy", (count, *batch["data"].shape), np.float32)
            labels = [
                _file(folder / f"labels_{level}.npy", (count, *target.shape), np.int8)
                for level, target in enumerate(batch["target"])
            ]
        images[number] = batch["data"].numpy()
        for file, target in zip(labels, batch["target"], strict=True):
            file[number] = target.numpy()
        cases.append([str(name) for name in batch["keys"]])
    for file in (images, *labels):
        file.flush()
    versions = [each.parent.name for each in label_folders]
    unfinished = folder / "batches.json.unfinished"
    unfinished.write_text(json.dumps({"versions": versions, "levels": len(labels), "cases": cases}))
    unfinished.replace(folder / "batches.json")


def read_batches(folder: Path) -> Batches:
    """The batches of a folder, mapped into memory."""
    described = json.loads((folder / "batches.json").read_text())
    labels = [np.load(folder / f"labels_{level}.npy", mmap_mode="r") for level in range(described["levels"])]
    return Batches(np.load(folder / "images.npy", mmap_mode="r"), labels, described["cases"], described["versions"])


def _file(path: Path, shape: tuple[int, ...], kind: type) -> Any:
    return np.lib.format.open_memmap(path, "w+", kind, shape)


def _with_versions(folders: Sequence[Path]) -> type[nnUNetDatasetBlosc2]:
    """nnU-Net's dataset whose segmentations have the labels of further folders as further channels."""

    class LabelVersions(nnUNetDatasetBlosc2):
        def load_case(self, identifier: str) -> Any:
            image, label, previous, properties = super().load_case(identifier)
            versions = [nnUNetDatasetBlosc2(str(folder), [identifier]).load_case(identifier)[1] for folder in folders]
            return image, np.concatenate([each[:] for each in (label, *versions)]), previous, properties

    return LabelVersions
