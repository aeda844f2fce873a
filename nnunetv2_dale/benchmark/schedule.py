"""Which run is started when, and what follows from how it ended. Knows nothing of Parsl or of the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from nnunetv2_dale.benchmark.job import Ending, JobResult
from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.benchmark.state import Stage, fold_state, progress_mark
from nnunetv2_dale.commands.command_line import one_line
from nnunetv2_dale.commands.lock import living_holder


class Status(Enum):
    """Where a run stands in this command; the value is what the table says."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    ELSEWHERE = "elsewhere"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"


FINAL = (Status.DONE, Status.FAILED, Status.BLOCKED)


@dataclass
class Record:
    """A run and what this command knows of it."""

    run: Run
    status: Status = Status.WAITING  # where it stands
    message: str = ""  # one clause that says more
    log: Path | None = None  # newest log of what nnU-Net printed
    strikes: int = 0  # attempts in a row that were killed without progress
    mark: tuple[str, int] | None = field(default=None, repr=False)
    future: Future[str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Site:
    """Where the runs' files are and who asks for them."""

    results: Path  # nnU-Net's folders
    preprocessed: Path
    npz: bool  # done includes the probabilities
    runner: str  # name of this command, as its workers put it into their locks


class Schedule:
    """Brings every run to an end: done, failed, or blocked by a failed one that it depends on."""

    def __init__(self, runs: Sequence[Run], site: Site, submit: Callable[[Run], Future[str]], retries: int) -> None:
        """
        Args:
            submit: starts an attempt at a run; the future holds a `JobResult` as text, or what became of the worker.
            retries: how often in a row a run may be killed without having saved progress, before it counts as failed.
        """
        self.records = [Record(run) for run in runs]
        self._site = site
        self._submit = submit
        self._retries = retries

    def work(self, show: Callable[[Sequence[Record]], None], pause_s: float = 2.0) -> None:
        """Work until every run is done, failed or blocked, calling `show` after each round."""
        while True:
            for record in self.records:
                self._advance(record)
            show(self.records)
            if all(record.status in FINAL for record in self.records):
                return
            time.sleep(pause_s)

    def _advance(self, record: Record) -> None:
        if record.status in FINAL:
            return
        if record.future is None:
            self._start_when_ready(record)
        elif record.future.done():
            self._conclude(record, record.future)
        else:
            holder = living_holder(self._folder(record))
            ours = holder is not None and holder.runner == self._site.runner
            record.status = Status.RUNNING if ours else Status.QUEUED

    def _start_when_ready(self, record: Record) -> None:
        needed = [other for other in self.records if record.run.depends_on(other.run)]
        failed = [other for other in needed if other.status in (Status.FAILED, Status.BLOCKED)]
        if failed:
            record.status, record.message = Status.BLOCKED, f"needs {failed[0].run.name}, which failed"
            return
        if any(other.status is not Status.DONE for other in needed):
            return
        site = self._site
        if fold_state(record.run, site.results, site.preprocessed, site.npz).stage is Stage.DONE:
            record.status, record.message = Status.DONE, ""
            return
        holder = living_holder(self._folder(record))
        if holder is not None:
            record.status, record.message = Status.ELSEWHERE, f"on {holder.process.host} since {holder.since}"
            return
        record.mark = progress_mark(self._folder(record))
        record.future = self._submit(record.run)
        record.status, record.message = Status.QUEUED, ""

    def _conclude(self, record: Record, future: Future[str]) -> None:
        record.future = None
        error = future.exception()
        if error is None:
            result = JobResult.from_json(future.result())
        else:  # Parsl lost the worker, or its machine
            result = JobResult(Ending.KILLED, f"its worker was lost ({one_line(error)})")
        if result.log is not None:
            record.log = Path(result.log)
        if result.ending is Ending.DONE:
            record.status, record.message = Status.DONE, ""
        elif result.ending is Ending.FAILED:
            record.status, record.message = Status.FAILED, result.message
        elif result.ending is Ending.BUSY:
            record.status, record.message = Status.ELSEWHERE, result.message
        else:
            self._retry(record, result.message)

    def _retry(self, record: Record, message: str) -> None:
        progressed = progress_mark(self._folder(record)) != record.mark
        record.strikes = 1 if progressed else record.strikes + 1
        if record.strikes > self._retries:
            record.status = Status.FAILED
            record.message = f"{message}; {record.strikes} times in a row without a new checkpoint"
        else:
            record.status, record.message = Status.WAITING, f"{message}; continues"

    def _folder(self, record: Record) -> Path:
        return record.run.folder(self._site.results)
