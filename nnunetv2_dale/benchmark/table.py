"""The benchmark's table: before it starts, live on a terminal or as lines elsewhere, and when it has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from nnunetv2_dale.benchmark.progress import FoldProgress, last_lines, read_progress
from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.benchmark.schedule import Record, Status
from nnunetv2_dale.benchmark.state import Stage, fold_state, validation_dice
from nnunetv2_dale.commands.counted import counted, duration
from nnunetv2_dale.commands.lock import living_holder

HEADER = ("trainer", "plans", "configuration", "fold", "state", "epoch", "Dice", "time left", "note")
STYLES = {Status.RUNNING: "bold", Status.FAILED: "red", Status.BLOCKED: "red", Status.DONE: "green"}
ORDER = [Status.RUNNING, Status.FAILED, Status.BLOCKED, Status.ELSEWHERE, Status.QUEUED, Status.WAITING, Status.DONE]
PLAIN_EVERY_S = 60.0
LOG_LINES = 10


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


def dry_run_text(runs: Sequence[Run], results: Path, preprocessed: Path, npz: bool) -> str:
    """Return the table of what is done, resumable and missing, with a line of totals."""
    rows = [_state_row(run, results, preprocessed, npz) for run in runs]
    counts = Counter(cells[4] for cells in rows)
    stages = [stage.value for stage in Stage] + [Status.ELSEWHERE.value]
    totals = ", ".join(f"{counts[stage]} {stage}" for stage in stages if counts[stage])
    return f"{plain_table(HEADER, rows)}\n{counted(len(runs), 'run')}: {totals}"


def final_text(records: Sequence[Record], results: Path) -> str:
    """Return the table of how every run ended, then each failed one with the last lines of its log."""
    parts = [plain_table(HEADER, [row(record, results) for record in records])]
    for record in records:
        if record.status is Status.FAILED:
            parts.append(f"\n{record.run.name} failed: {record.message}")
            if record.log is not None and record.log.exists():
                parts += [f"  {line}" for line in last_lines(record.log, LOG_LINES)]
                parts.append(f"  (the whole log: {record.log})")
    return "\n".join(parts)


Show = Callable[[Sequence[Record]], None]


@contextmanager
def live_table(results: Path, stream: TextIO) -> Iterator[Show]:
    """One table on a terminal that is drawn anew in place; the runs at work come first."""
    with Live(console=Console(file=stream), auto_refresh=False, transient=True) as live:

        def show(records: Sequence[Record]) -> None:
            done = sum(record.status is Status.DONE for record in records)
            table = Table(*HEADER, title=f"{done} of {len(records)} runs done", title_justify="left", box=None)
            for record in sorted(records, key=lambda record: ORDER.index(record.status)):
                table.add_row(*row(record, results), style=STYLES.get(record.status))
            live.update(table, refresh=True)

        yield show


@contextmanager
def plain_lines(results: Path, stream: TextIO) -> Iterator[Show]:
    """A line whenever a run's state changes, and once a minute for a run whose epoch has."""
    already: dict[str, tuple[tuple[str, ...], float]] = {}

    def show(records: Sequence[Record]) -> None:
        for record in records:
            cells = row(record, results)
            said, when = already.get(record.run.name, ((), 0.0))
            changed = cells[4] != said[4] if said else record.status is not Status.WAITING
            due = time.monotonic() - when > PLAIN_EVERY_S and cells != said
            if changed or (due and said):
                already[record.run.name] = (cells, time.monotonic())
                print(_line(record, cells), file=stream, flush=True)

    yield show


def _state_row(run: Run, results: Path, preprocessed: Path, npz: bool) -> tuple[str, ...]:
    folder = run.folder(results)
    state = fold_state(run, results, preprocessed, npz)
    validated, holder = validation_dice(folder, run.dataset), living_holder(folder)
    epoch, word, note = "", state.stage.value, state.why
    if validated is None and state.stage is Stage.RESUME:
        progress = read_progress(folder)
        epoch = f"{progress.epoch}/{progress.num_epochs or '?'}"
    if holder is not None:
        word, note = Status.ELSEWHERE.value, f"on {holder.process.host} since {holder.since}"
    return (run.trainer, run.plans, run.configuration, run.fold, word, epoch, _dice(validated), "", note)


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
