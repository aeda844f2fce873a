"""What the benchmarks run on: plans in nnU-Net's form and synthetic batches, no dataset needed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.plans_file import architecture, configuration, plans_file


@dataclass(frozen=True)
class Case:
    """One network and batch to measure."""

    name: str
    patch: tuple[int, ...]  # voxels; 2 or 3 axes
    batch: int
    classes: int = 3  # of the label map, with background
    residual: bool = False  # nnU-Net's residual encoder instead of the plain one
    features: int = 32  # channels of the first stage; doubled per stage up to nnU-Net's limit
    stages: int = 4

    @property
    def configuration(self) -> str:
        return "2d" if len(self.patch) == 2 else "3d_fullres"

    def describe(self) -> dict[str, Any]:
        return asdict(self) | {"network": "ResidualEncoderUNet" if self.residual else "PlainConvUNet"}


# What nnUNetv2_plan_and_preprocess -gpu_memory_target 0.3 plans for the Hippocampus task.
TINY_2D = Case("2d PlainConv, 3 classes", (56, 40), 29)
TINY_3D = Case("3d PlainConv, 3 classes", (40, 56, 40), 2)
ALL = (
    TINY_2D,
    Case("2d PlainConv, 14 classes", (56, 40), 29, classes=14),
    Case("2d ResEnc, 3 classes", (56, 40), 29, residual=True),
    Case("2d ResEnc, 14 classes", (56, 40), 29, classes=14, residual=True),
    TINY_3D,
    Case("3d PlainConv, 14 classes", (40, 56, 40), 2, classes=14),
    Case("3d ResEnc, 3 classes", (40, 56, 40), 2, residual=True),
    Case("3d ResEnc, 14 classes", (40, 56, 40), 2, classes=14, residual=True),
)

# Small enough to try 8 times the volume and 105 classes on a CPU; one property changes at a time.
_SMALL_2D = Case("2d base", (64, 64), 8, features=16)
_SMALL_3D = Case("3d base", (24, 24, 24), 2, features=16)
GROWTH = (
    _SMALL_2D,
    Case("2d pixels x 8 (128 x 256)", (128, 256), 8, features=16),
    Case("2d classes 2", (64, 64), 8, classes=2, features=16),
    Case("2d classes 14", (64, 64), 8, classes=14, features=16),
    Case("2d classes 105", (64, 64), 8, classes=105, features=16),
    Case("2d batch x 4", (64, 64), 32, features=16),
    Case("2d channels x 4", (64, 64), 8, features=64),
    _SMALL_3D,
    Case("3d voxels x 8", (48, 48, 48), 2, features=16),
    Case("3d classes 105", (24, 24, 24), 2, classes=105, features=16),
    Case("3d batch x 4", (24, 24, 24), 8, features=16),
    Case("3d channels x 2", (24, 24, 24), 2, features=32),
)


def plans(case: Case) -> dict[str, Any]:
    """A plans file for the case, with the fields nnU-Net's trainer reads."""
    dimensions = len(case.patch)
    largest = 512 if dimensions == 2 else 320
    network = architecture(
        [min(case.features * 2**stage, largest) for stage in range(case.stages)],
        [[1] * dimensions] + [[2] * dimensions] * (case.stages - 1),
        [1, 3, 4, 6, 6, 6, 6][: case.stages] if case.residual else [2] * case.stages,
        decoder_convolutions=1 if case.residual else 2,
        residual=case.residual,
    )
    chosen = configuration(case.patch, case.batch, [1.0] * dimensions, "ZScoreNormalization", network)
    configurations = {case.configuration: {**chosen, "data_identifier": "synthetic"}}
    return {**plans_file("Dataset999_Synthetic", "synthetic", configurations), "continue_training": False}


def dataset_json(case: Case) -> dict[str, Any]:
    labels = {"background": 0} | {f"structure {label}": label for label in range(1, case.classes)}
    return {"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}


def batch(case: Case, scales: list[list[float]] | None, device: torch.device) -> dict[str, Any]:
    """Smooth random structures with their own intensity and noise on top, as nnU-Net's data loader hands a batch over.

    `scales` are of the deep-supervision targets, full resolution first; None is one target without deep supervision.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = [max(2, size // 8) for size in case.patch]
    noise = torch.randn(case.batch, case.classes, *coarse, generator=generator)
    mode = "bilinear" if len(case.patch) == 2 else "trilinear"
    labels = functional.interpolate(noise, size=case.patch, mode=mode).argmax(dim=1, keepdim=True).to(torch.int16)
    images = labels.float() / case.classes + 0.3 * torch.randn(labels.shape, generator=generator)
    images = ((images - images.mean()) / images.std()).to(device)
    keys = [f"case {number}" for number in range(case.batch)]
    return {"data": images, "target": deep_supervision_targets(labels.to(device), scales), "keys": keys}


def deep_supervision_targets(labels: Tensor, scales: list[list[float]] | None) -> Tensor | list[Tensor]:
    """Label maps (B, 1, *S) at each of the scales."""
    if scales is None:
        return labels
    sizes = [[round(size * part) for size, part in zip(labels.shape[2:], scale, strict=True)] for scale in scales]
    return [functional.interpolate(labels.float(), size=size, mode="nearest").to(labels.dtype) for size in sizes]
