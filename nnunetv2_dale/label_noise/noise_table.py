"""What became of the noise: the table of a noisy copy, its mean Dice, and amounts in words."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnunetv2_dale.label_noise.noise_model import KINDS, NoiseModel
from nnunetv2_dale.label_noise.noisy_case import CaseRow

TABLE_NAME = "label_noise.csv"


def mean_noisy_dice(rows: Sequence[CaseRow]) -> float:
    """The mean Dice over the corrupted cases that have foreground, which `--dice` asks for; NaN without any."""
    values = [row.dice for row in rows if row.kind and row.voxels_foreground]
    return float(np.mean(values)) if values else float("nan")


def amounts_in_words(model: NoiseModel, scale: float) -> str:
    """Each kind with its amount times `scale`: "dilate 1.2 mm, swap 0.08 probability"."""
    shown = []
    for kind, amount in zip(model.kinds, model.amounts, strict=True):
        shown.append(f"{kind} {min(KINDS[kind].highest, amount * scale):.4g} {KINDS[kind].unit}")
    return ", ".join(shown)


def write_table(path: Path, rows: Sequence[CaseRow]) -> None:
    """A line for each case."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in dataclasses.fields(CaseRow)])
        for row in rows:
            values = [getattr(row, field.name) for field in dataclasses.fields(CaseRow)]
            writer.writerow([_number(value) if isinstance(value, float) else value for value in values])


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
