"""What became of the noise: the table of a noisy copy, its mean Dice, and amounts in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas

from nnunetv2_dale.label_noise.noise_model import KINDS, NoiseModel
from nnunetv2_dale.label_noise.noisy_case import CaseRow

TABLE_NAME = "label_noise.csv"


def mean_noisy_dice(rows: Sequence[CaseRow]) -> float:
    """Return the mean Dice over the corrupted cases that have foreground, which `--dice` asks for; NaN without any."""
    values = [row.dice for row in rows if row.kind and row.voxels_foreground]
    return float(np.mean(values)) if values else float("nan")


def amounts_in_words(model: NoiseModel, scale: float) -> str:
    """List each kind with its amount times `scale`: "dilate 1.2 mm, swap 0.08 probability"."""
    pairs = zip(model.kinds, model.amounts, strict=True)
    return ", ".join(f"{kind} {KINDS[kind].scaled(amount, scale):.4g} {KINDS[kind].unit}" for kind, amount in pairs)


def write_table(path: Path, rows: Sequence[CaseRow]) -> None:
    """Write a line for each case."""
    pandas.DataFrame([dataclasses.asdict(row) for row in rows]).to_csv(
        path, index=False, float_format="%.6g", lineterminator="\n"
    )
