"""The benchmark's table: one row for each run, live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from nnunetv2_dale.benchmark.progress import FoldProgress, read_progress
from nnunetv2_dale.benchmark.schedule import Record, Status
from nnunetv2_dale.benchmark.state import validation_dice

HEADER = ("trainer", "plans", "configuration", "fold", "state", "epoch", "Dice", "time left", "note")
STYLES = {Status.RUNNING: "bold", Status.FAILED: "red", Status.BLOCKED: "red", Status.DONE: "green"}
ORDER = [Status.RUNNING, Status.FAILED, Status.BLOCKED, Status.ELSEWHERE, Status.QUEUED, Status.WAITING, Status.DONE]
PLAIN_EVERY_S = 60.0


def row(record: Record, results: Path) -> tuple[str, ...]:
    """The cells of one run: its name, state, epochs, Dice (validation's when it is done, else the last epoch's)."""
    run, folder = record.run, record.run.folder(results)
    name = (run.trainer, run.plans, run.configuration, run.fold)
    if record.status is Status.DONE:
        return (*name, record.status.value, "", _dice(validation_dice(folder, run.dataset)), "", record.message)
    progress = read_progress(folder) if record.status is not Status.WAITING else FoldProgress()
    running = record.status in (Status.RUNNING, Status.ELSEWHERE)
    state = "validating" if running and progress.predicted is not None else record.status.value
    left = duration(progress.seconds_left) if running else ""
    return (*name, state, _epoch(progress), _dice(progress.dice), left, record.message)


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as text with aligned columns; columns without a single value are left out."""
    filled = [i for i in range(len(header)) if any(cells[i] for cells in rows)]
    lines = [[header[i] for i in filled], *([cells[i] for i in filled] for cells in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(filled))]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def duration(seconds: float | None) -> str:
    """Seconds as ``3 d 4 h``, ``2 h 05 min``, ``7 min`` or ``40 s``; empty for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes:02d} min"


class LiveTable:
    """One table on a terminal that is drawn anew in place; the runs at work come first."""

    def __init__(self, results: Path, stream: TextIO) -> None:
        self._results = results
        self._live = Live(console=Console(file=stream), auto_refresh=False, transient=True)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, records: Sequence[Record]) -> None:
        """Draw the table."""
        done = sum(record.status is Status.DONE for record in records)
        table = Table(*HEADER, title=f"{done} of {len(records)} runs done", title_justify="left", box=None)
        for record in sorted(records, key=lambda record: ORDER.index(record.status)):
            table.add_row(*row(record, self._results), style=STYLES.get(record.status))
        self._live.update(table, refresh=True)


class PlainLines:
    """A line whenever a run's state changes, and once a minute for a run whose epoch has."""

    def __init__(self, results: Path, stream: TextIO) -> None:
        self._results = results
        self._stream = stream
        self._said: dict[str, tuple[tuple[str, ...], float]] = {}

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, records: Sequence[Record]) -> None:
        """Print what is new."""
        for record in records:
            cells = row(record, self._results)
            said, when = self._said.get(record.run.name, ((), 0.0))
            changed = cells[4] != said[4] if said else record.status is not Status.WAITING
            due = time.monotonic() - when > PLAIN_EVERY_S and cells != said
            if changed or (due and said):
                self._said[record.run.name] = (cells, time.monotonic())
                print(_line(record, cells), file=self._stream, flush=True)


def _line(record: Record, cells: Sequence[str]) -> str:
    _, _, _, _, state, epoch, dice, left, note = cells
    at = f"epoch {epoch}" if "/" in epoch else epoch
    parts = [at, f"Dice {dice}" if dice else "", f"{left} left" if left else "", note]
    details = ", ".join(part for part in parts if part)
    return f"{time.strftime('%H:%M:%S')} {record.run.name}: {state}" + (f" ({details})" if details else "")


def _epoch(progress: FoldProgress) -> str:
    if progress.predicted is not None:
        return f"{progress.predicted} predicted"
    if progress.epoch == 0 and progress.num_epochs is None:
        return ""
    return f"{progress.epoch}/{progress.num_epochs or '?'}"


def _dice(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
