"""The images of the paper's setting: polyps and lung nodules, reduced to a size that a processor trains on.

Everything is split and made noisy by fixed seeds. Label noise is in the training and the validation part, as it would
be for a user; the test part is clean.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nnunetv2_dale.label_noise.drawing import calibrate
from nnunetv2_dale.label_noise.noise_model import KINDS, NoiseModel
from nnunetv2_dale.masks.overlap import dice

SIZE = 64  # pixels along each axis; the files have 128
SPLIT_SEED, NOISE_SEED = 0, 1
NOISY_PART = 0.45  # of the images of the training and the validation part
PARTS = ("train", "validation", "test")
_POLYPS = {"train": 798, "validation": 100, "test": 100}
_NODULES = {"train": 0.7, "validation": 0.15, "test": 0.15}  # of the patients


@dataclass(frozen=True)
class PaperData:
    """One part of a dataset: images (N, C, S, S) float32, each channel of mean 0 and SD 1 over the training part."""

    images: Tensor
    labels: Tensor  # (N, 1, S, S) int64, 0 or 1


@dataclass(frozen=True)
class LabelNoise:
    """Noise of some of the training and validation labels."""

    kind: str  # of `nnunetv2_dale.label_noise`
    dice: float | None = None  # the mean Dice of the noisy labels to the clean ones; None takes `amount` as it is
    amount: float = 40.0  # in the kind's unit, a pixel standing for a mm


NOISES = {"boundary": LabelNoise("boundary", dice=0.80), "dilated": LabelNoise("dilate", amount=3.0)}


def read_data(source: Path, data: str, labels: str) -> tuple[dict[str, PaperData], dict[str, Any]]:
    """The parts of a dataset, polyps or nodules, and what was done to its labels: clean, or a name of `NOISES`.

    `source` holds `kvasir_seg` and `lidc_nodules`.
    """
    folder, masks, colour = {"polyps": ("kvasir_seg", "masks", True), "nodules": ("lidc_nodules", "consensus", False)}[
        data
    ]
    names = sorted(path.name for path in (source / folder / "images").glob("*.png"))
    parts = split_polyps(names) if data == "polyps" else split_nodules(source / folder / "cases.csv")
    images = {part: _pictures(source / folder / "images", own, SIZE, colour) for part, own in parts.items()}
    clean = {part: _masks(source / folder / masks, own, SIZE) for part, own in parts.items()}
    mean = images["train"].mean(axis=(0, 2, 3), keepdims=True)
    spread = images["train"].std(axis=(0, 2, 3), keepdims=True)
    noisy, facts = clean, {"noisy_images": 0}
    if labels != "clean":
        noisy, facts = with_noise(clean, parts, NOISES[labels])
    facts |= {part: len(own) for part, own in parts.items()}
    found = {}
    for part in PARTS:
        label = torch.from_numpy(noisy[part]).long().unsqueeze(1)
        found[part] = PaperData(torch.from_numpy((images[part] - mean) / spread).float(), label)
    return found, facts


def split_polyps(names: Sequence[str]) -> dict[str, list[str]]:
    """798, 100 and 100 names by a fixed seed."""
    shuffled = [names[place] for place in np.random.default_rng(SPLIT_SEED).permutation(len(names))]
    bounds = np.cumsum([0, *_POLYPS.values()])
    return {part: sorted(shuffled[low:high]) for part, low, high in zip(PARTS, bounds, bounds[1:], strict=False)}


def split_nodules(table: Path) -> dict[str, list[str]]:
    """70, 15 and 15 % of the patients by a fixed seed, with all their nodules."""
    with table.open(newline="") as file:
        patient_of = {f"{row['case']}.png": row["patient"] for row in csv.DictReader(file)}
    patients = np.random.default_rng(SPLIT_SEED).permutation(sorted(set(patient_of.values())))
    bounds = np.round(np.cumsum([0, *_NODULES.values()]) * len(patients)).astype(int)
    own = {part: set(patients[low:high]) for part, low, high in zip(PARTS, bounds, bounds[1:], strict=False)}
    return {part: sorted(name for name, patient in patient_of.items() if patient in own[part]) for part in PARTS}


def with_noise(
    clean: dict[str, NDArray[np.bool_]], names: dict[str, list[str]], noise: LabelNoise
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, Any]]:
    """The labels with noise in `NOISY_PART` of the training and validation images, and how noisy they are."""
    model = NoiseModel((noise.kind,), (noise.amount,), (1.0,), NOISE_SEED, (1,), bias=1.0)
    rng = np.random.default_rng(NOISE_SEED)
    chosen = [(part, row) for part in PARTS[:2] for row in range(len(names[part])) if rng.random() < NOISY_PART]

    def noisy(part: str, row: int, scale: float) -> NDArray[np.bool_]:
        label = clean[part][row][None].astype(np.int16)
        return model.corrupt(label, (1.0, 1.0, 1.0), names[part][row], scale)[0] > 0

    def mean_dice(scale: float) -> float:
        return float(np.mean([dice(clean[part][row], noisy(part, row, scale)) for part, row in chosen]))

    scale = 1.0
    if noise.dice is not None:
        scale = calibrate(mean_dice, noise.dice, KINDS[noise.kind].highest / noise.amount).scale
    changed = {part: labels.copy() for part, labels in clean.items()}
    for part, row in chosen:
        changed[part][row] = noisy(part, row, scale)
    facts = {
        "noise": noise.kind,
        "amount": round(noise.amount * scale, 2),
        "noisy_images": len(chosen),
        "noisy_dice": round(mean_dice(scale), 4),
    }
    return changed, facts


def _pictures(folder: Path, names: Sequence[str], size: int, colour: bool) -> NDArray[np.float32]:
    """(N, C, size, size), means over the pixels of the file that each pixel covers."""
    read = []
    for name in names:
        with Image.open(folder / name) as picture:
            small = picture.convert("RGB" if colour else "L").resize((size, size), Image.Resampling.BOX)
            read.append(np.asarray(small, dtype=np.float32))
    stacked = np.stack(read)
    return np.moveaxis(stacked, 3, 1) if colour else stacked[:, None]


def _masks(folder: Path, names: Sequence[str], size: int) -> NDArray[np.bool_]:
    """(N, size, size): foreground (any value but 0) in at least half of what the pixel covers."""
    read = []
    for name in names:
        with Image.open(folder / name) as picture:
            binary = picture.convert("L").point(lambda value: 255 if value else 0)
            read.append(np.asarray(binary.resize((size, size), Image.Resampling.BOX)) >= 128)
    return np.stack(read)
