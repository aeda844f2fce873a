"""The epochs of a training, from nnU-Net's own records, `training_log_*.txt`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean

_STAMPED_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?): (.*)")
# np.float32(0.81) and 0.81 are both written, depending on the version of NumPy.
_NUMBER = re.compile(r"(?<![\w.])(?:-?\d+(?:\.\d*)?(?:e[-+]?\d+)?|-?inf|nan)(?![\w(])")

_WHAT_RAN = re.compile(
    r"\S+: ((?:of what is recorded )?Algorithm 1 in \d+ of \d+ batches.*|cases were down-weighted in \d+ of .*)"
)
_PLAIN, _NO_BATCH = "this is plain nnU-Net", "Algorithm 1 in 0 of "


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


def training_logs(fold: Path) -> list[Path]:
    """Return the logs of a fold's folder, oldest first; nnU-Net writes their dates without leading zeros."""
    return sorted(fold.glob("training_log*.txt"), key=lambda log: [int(part) for part in re.findall(r"\d+", log.name)])


def epochs_from_logs(files: Iterable[Path]) -> dict[int, Epoch]:
    """Read the epochs of a fold's logs, oldest file first.

    An epoch that was repeated after an interruption counts once, as it was trained last. An epoch that did not end
    does not count.
    """
    epochs: dict[int, Epoch] = {}
    for file in files:
        epochs.update(epochs_of_log(file.read_text(encoding="utf-8", errors="replace").splitlines()))
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


def did_not_run(sentence: str) -> bool:
    """Whether what `what_ran` returns says that the method which gave the trainer its name never ran."""
    return sentence.endswith(_PLAIN) or sentence.startswith(_NO_BATCH)


def folds_of_each(sentences: Mapping[str, str]) -> dict[str, list[str]]:
    """Return sentence → the folds it is said of, from fold → sentence."""
    folds: dict[str, list[str]] = {}
    for fold, sentence in sentences.items():
        folds.setdefault(sentence, []).append(fold)
    return folds


def epochs_of_log(lines: Sequence[str]) -> dict[int, Epoch]:
    """Read the epochs that ended in the lines of one log."""
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


def _mean_of_numbers(text: str) -> float | None:
    """Mean of the finite numbers in a line of the log; classes that were not there are nan and do not count."""
    values = [value for value in map(float, _NUMBER.findall(text)) if math.isfinite(value)]
    return fmean(values) if values else None
