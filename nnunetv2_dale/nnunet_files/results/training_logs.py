"""The epochs of a training, from nnU-Net's own records: `training_log_*.txt`, else the logging in a checkpoint."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

_STAMPED_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?): (.*)")
# np.float32(0.81) and 0.81 are both written, depending on the version of NumPy.
_NUMBER = re.compile(r"(?<![\w.])(?:-?\d+(?:\.\d*)?(?:e[-+]?\d+)?|-?inf|nan)(?![\w(])")
_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")

_WHAT_RAN = re.compile(r"\S+: (Algorithm 1 in \d+ of \d+ batches.*|cases were down-weighted in \d+ of .*)")
PLAIN = "this is plain nnU-Net"  # the end of the sentence of a training in which nothing of its method ran


@dataclass
class Epoch:
    """One epoch. `period` is seconds until the next epoch began, with saving and plotting, where that is known."""

    start: float | None = None
    seconds: float | None = None
    period: float | None = None
    pseudo_dice: float | None = None
    train_loss: float | None = None
    validation_loss: float | None = None

    @property
    def duration(self) -> float | None:
        """Seconds this epoch added to the training."""
        return self.seconds if self.period is None else self.period


def epochs_from_logs(files: Iterable[Path]) -> dict[int, Epoch]:
    """Read the epochs of a fold's logs, oldest file first.

    An epoch that was repeated after an interruption counts once, as it was trained last. An epoch that did not end
    does not count.
    """
    epochs: dict[int, Epoch] = {}
    for file in files:
        epochs.update(_epochs_of_log(file.read_text(encoding="utf-8", errors="replace").splitlines()))
    return epochs


def what_ran(files: Iterable[Path]) -> str | None:
    """Return what of its method a training had, as its trainer says at the end of the log; None where it does not."""
    said = None
    for file in files:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            stamped = _STAMPED_LINE.match(line)
            if stamped and (found := _WHAT_RAN.fullmatch(stamped[2].strip())):
                said = found[1]
    return said


def folds_of_each(sentences: Mapping[str, str]) -> dict[str, list[str]]:
    """Return sentence → the folds it is said of, from fold → sentence."""
    folds: dict[str, list[str]] = {}
    for fold, sentence in sentences.items():
        folds.setdefault(sentence, []).append(fold)
    return folds


def _epochs_of_log(lines: Sequence[str]) -> dict[int, Epoch]:
    epochs: dict[int, Epoch] = {}
    current, number = Epoch(), None
    for line in lines:
        match = _STAMPED_LINE.match(line)
        if match is None:
            continue
        stamp, text = datetime.fromisoformat(match[1]).timestamp(), match[2].strip()
        if found := re.fullmatch(r"Epoch (\d+)", text):
            if current.start is not None and current.seconds is not None:
                current.period = max(stamp - current.start, current.seconds)
            current, number = Epoch(start=stamp), int(found[1])
        elif number is None:
            continue
        elif text.startswith("train_loss"):
            current.train_loss = _mean_of_numbers(text)
        elif text.startswith("val_loss"):
            current.validation_loss = _mean_of_numbers(text)
        elif text.startswith("Pseudo dice"):
            current.pseudo_dice = _mean_of_numbers(text)
        elif text.startswith("Epoch time:"):
            current.seconds = _mean_of_numbers(text)
            epochs[number] = current
    return epochs


def epochs_from_checkpoint(folder: Path) -> dict[int, Epoch]:
    """Read the epochs from the logging that nnU-Net keeps in its checkpoints.

    The file is read without running any code it may hold; one that cannot be read so tells nothing: an empty result.
    """
    file = next((folder / name for name in _CHECKPOINTS if (folder / name).is_file()), None)
    logging = None if file is None else _logging_of(file)
    if not logging:
        return {}
    starts, ends = logging.get("epoch_start_timestamps", []), logging.get("epoch_end_timestamps", [])
    epochs = {}
    for number, (start, end) in enumerate(zip(starts, ends, strict=False)):
        epochs[number] = Epoch(
            start=float(start),
            seconds=float(end) - float(start),
            pseudo_dice=_entry(logging, "mean_fg_dice", number),
            train_loss=_entry(logging, "train_losses", number),
            validation_loss=_entry(logging, "val_losses", number),
        )
    return epochs


def _logging_of(file: Path) -> dict[str, Any] | None:
    import pickle

    import numpy as np
    import torch

    multiarray: Any = importlib.import_module(
        "numpy._core.multiarray" if hasattr(np, "_core") else "numpy.core.multiarray"
    )
    numpy_parts: list[Any] = [np.dtype, np.ndarray, multiarray.scalar, multiarray._reconstruct]
    numpy_parts += [type(np.dtype(name)) for name in ("float32", "float64", "int64", "int32", "bool")]
    try:
        with torch.serialization.safe_globals(numpy_parts):
            content = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError):
        return None
    logging = content.get("logging") if isinstance(content, dict) else None
    return logging if isinstance(logging, dict) else None


def _entry(logging: dict[str, Any], key: str, number: int) -> float | None:
    values = logging.get(key, [])
    return _finite(float(values[number])) if number < len(values) else None


def _mean_of_numbers(text: str) -> float | None:
    """Mean of the finite numbers in a line of the log; classes that were not there are nan and do not count."""
    values = [value for value in (_finite(float(number)) for number in _NUMBER.findall(text)) if value is not None]
    return fmean(values) if values else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
