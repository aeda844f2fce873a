"""What a training on synthetic batches needs instead of a dataset."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.cases import Case, batch


@contextlib.contextmanager
def synthetic_folders() -> Iterator[None]:
    """nnU-Net's folders in a temporary one, with the files a trainer looks for before it starts."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        for name in ("raw", "preprocessed", "results"):
            os.environ[f"nnUNet_{name}"] = str(Path(folder) / name)
        data = Path(folder) / "preprocessed" / "Dataset999_Synthetic"
        (data / "synthetic").mkdir(parents=True)
        for suffix in ("b2nd", "pkl"):
            (data / "synthetic" / f"case.{suffix}").touch()
        (data / "dataset_fingerprint.json").write_text("{}")
        yield


def first_sample(case: Case, device: torch.device) -> dict[str, Any]:
    """A batch of one, at the resolutions of nnU-Net's deep supervision."""
    scales = [[0.5**level] * len(case.patch) for level in range(case.stages - 1)]
    return batch(replace(case, batch=1), scales, device)
