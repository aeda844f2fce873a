"""What nnU-Net's own log files say about a training that runs or has run."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.results.training_logs import epochs_of_log, training_logs

TAIL_BYTES = 1 << 16
EPOCHS_AVERAGED = 20


@dataclass(frozen=True)
class FoldProgress:
    """How far a fold's newest log says it is."""

    epoch: int = 0  # epochs completed
    num_epochs: int | None = None  # epochs in all, if known
    dice: float | None = None  # mean pseudo Dice of the last completed epoch, 0 to 1
    seconds_per_epoch: float | None = None  # median of the last epochs
    predicted: int | None = None  # cases predicted so far, when training is over and validation is under way

    @property
    def seconds_left(self) -> float | None:
        """Time that the remaining epochs take at this pace; None when not known or when only validation is left."""
        if self.num_epochs is None or self.seconds_per_epoch is None or self.predicted is not None:
            return None
        return max(0, self.num_epochs - self.epoch) * self.seconds_per_epoch


def read_progress(folder: Path) -> FoldProgress:
    """Progress of the fold in `folder`, from its newest ``training_log_*.txt``; an empty one when there is no log."""
    logs = training_logs(folder)
    if not logs:
        return FoldProgress()
    text = tail(logs[-1])
    completed = epochs_of_log(text.splitlines())
    begun = [int(number) for number in re.findall(r"Epoch (\d+)\s*$", text, re.MULTILINE)]
    times = [epoch.seconds for epoch in completed.values() if epoch.seconds is not None]
    predicted = len(re.findall(r": predicting ", text))
    trained = "Training done." in text or predicted > 0
    return FoldProgress(
        epoch=max([0, *begun, *(number + 1 for number in completed)]),
        num_epochs=_num_epochs(folder),
        dice=list(completed.values())[-1].pseudo_dice if completed else None,
        seconds_per_epoch=statistics.median(times[-EPOCHS_AVERAGED:]) if times else None,
        predicted=predicted if trained else None,
    )


def tail(path: Path, size: int = TAIL_BYTES) -> str:
    """Return the last `size` bytes of a text file, from the start of a line on."""
    with path.open("rb") as stream:
        end = stream.seek(0, 2)
        stream.seek(max(0, end - size))
        content = stream.read()
    if end > size:
        content = content.partition(b"\n")[2]
    return content.decode(errors="replace")


def last_lines(path: Path, number: int) -> list[str]:
    """Return the last `number` lines of a log that are not empty."""
    return [line.rstrip() for line in tail(path).splitlines() if line.strip()][-number:]


def _num_epochs(folder: Path) -> int | None:
    try:
        return int(read_json_object(folder / "debug.json")["num_epochs"])
    except (ValueError, KeyError):
        return None
