"""What the benchmark says before it starts and after it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dale.benchmark.progress import last_lines, read_progress
from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.benchmark.schedule import Record, Status
from nnunetv2_dale.benchmark.state import Stage, fold_state, validation_dice
from nnunetv2_dale.benchmark.table import HEADER, plain_table, row
from nnunetv2_dale.commands.lock import living_holder

LOG_LINES = 10


def dry_run_text(runs: Sequence[Run], results: Path, preprocessed: Path, npz: bool) -> str:
    """Return the table of what is done, resumable and missing, with a line of totals."""
    rows = [_state_row(run, results, preprocessed, npz) for run in runs]
    counts = Counter(cells[4] for cells in rows)
    stages = [stage.value for stage in Stage] + [Status.ELSEWHERE.value]
    totals = ", ".join(f"{counts[stage]} {stage}" for stage in stages if counts[stage])
    return f"{plain_table(HEADER, rows)}\n{len(runs)} runs: {totals}"


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


def _state_row(run: Run, results: Path, preprocessed: Path, npz: bool) -> tuple[str, ...]:
    folder = run.folder(results)
    state = fold_state(run, results, preprocessed, npz)
    progress, validated, holder = read_progress(folder), validation_dice(folder, run.dataset), living_holder(folder)
    epoch, dice, note, word = "", "", state.why, state.stage.value
    if validated is not None:
        dice = f"{validated:.4f}"
    elif state.stage is Stage.RESUME:
        epoch = f"{progress.epoch}/{progress.num_epochs or '?'}"
    if holder is not None:
        word, note = Status.ELSEWHERE.value, f"on {holder.process.host} since {holder.since}"
    return (run.trainer, run.plans, run.configuration, run.fold, word, epoch, dice, "", note)
