"""How much the demo does: the data's size, the length of the trainings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes of a demo; shapes and spacings are of (z, y, x)."""

    training_cases: int  # with noisy labels
    validation_cases: int  # with true ones
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    epochs: int
    batches_per_epoch: int
    trainers: dict[str, str]  # method -> trainer class; plain nnU-Net first, DALE second


FULL = Scale(
    training_cases=10,
    validation_cases=4,
    shape=(24, 96, 128),
    spacing_mm=(5.0, 2.8, 2.8),
    epochs=8,
    batches_per_epoch=30,
    trainers={"plain nnU-Net": "nnUNetTrainer_demo", "DALE": "nnUNetTrainerDALE_demo"},
)
QUICK = Scale(
    training_cases=4,
    validation_cases=2,
    shape=(10, 48, 64),
    spacing_mm=(10.0, 5.6, 5.6),
    epochs=2,
    batches_per_epoch=4,
    trainers={"plain nnU-Net": "nnUNetTrainer_demoQuick", "DALE": "nnUNetTrainerDALE_demoQuick"},
)
