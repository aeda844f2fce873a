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


def without_data(trainer: Any, **attributes: Any) -> Any:
    """The class of a trainer that reads no dataset and draws no network."""
    nothing = {"get_dataloaders": lambda self: (None, None), "plot_network_architecture": lambda self: None}
    return type("WithoutData", (trainer,), {**nothing, **attributes})


def started(trainer: Any, case: Case, own_plans: dict[str, Any], description: dict[str, Any], device: Any) -> Any:
    """A trainer of `without_data` whose first epoch has begun, without a word of it."""
    torch.manual_seed(0)
    with Path(os.devnull).open("w") as silence, contextlib.redirect_stdout(silence):
        made = trainer(own_plans, case.configuration, 0, description, device)
        made.on_train_start()
        made.on_train_epoch_start()
    return made


def first_sample(case: Case, device: torch.device) -> dict[str, Any]:
    """A batch of one, at the resolutions of nnU-Net's deep supervision."""
    scales = [[0.5**level] * len(case.patch) for level in range(case.stages - 1)]
    return batch(replace(case, batch=1), scales, device)
