from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from nnunetv2_dale.benchmark.job import Ending, JobResult
from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.benchmark.schedule import Record, Schedule, Site, Status
from nnunetv2_dale.commands.lock import acquire
from tests.benchmark.fixtures import RUN, write_checkpoint, write_summary

Attempt = Callable[[Run], JobResult]


class ScriptedEngine:
    """Its attempts end at once, as the test says."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.submitted: list[Run] = []

    def submit(self, run: Run) -> Future[str]:
        self.submitted.append(run)
        future: Future[str] = Future()
        try:
            future.set_result(self._attempt(run).to_json())
        except RuntimeError as error:
            future.set_exception(error)
        return future


def _work(root: Path, runs: list[Run], attempt: Attempt, retries: int = 2) -> tuple[list[Record], ScriptedEngine]:
    engine = ScriptedEngine(attempt)
    schedule = Schedule(runs, Site(root, root / "preprocessed", False, "tests"), engine.submit, retries)
    schedule.work(lambda records: None, pause_s=0)
    return schedule.records, engine


def test_done_runs_are_not_started(tmp_path: Path) -> None:
    write_summary(RUN.folder(tmp_path))
    records, engine = _work(tmp_path, [RUN, replace(RUN, fold="1")], lambda run: JobResult(Ending.DONE))
    assert [record.status for record in records] == [Status.DONE, Status.DONE]
    assert engine.submitted == [replace(RUN, fold="1")]


def test_a_failed_fold_stops_nothing_but_what_needs_it(tmp_path: Path) -> None:
    first = [replace(RUN, configuration="3d_lowres", fold=str(fold)) for fold in range(2)]
    second = replace(RUN, configuration="3d_cascade_fullres", needs="3d_lowres")

    def attempt(run: Run) -> JobResult:
        return JobResult(Ending.FAILED, "exit code 1") if run == first[0] else JobResult(Ending.DONE)

    records, engine = _work(tmp_path, [*first, second, RUN], attempt)
    assert [record.status for record in records] == [Status.FAILED, Status.DONE, Status.BLOCKED, Status.DONE]
    assert engine.submitted == [*first, RUN]  # a failure of nnU-Net's own is not tried again


def test_a_killed_run_is_tried_again_as_long_as_it_progresses(tmp_path: Path) -> None:
    attempts = []

    def attempt(run: Run) -> JobResult:
        attempts.append(run)
        if len(attempts) <= 5:  # each one saves a checkpoint before its walltime
            write_checkpoint(run.folder(tmp_path) / "checkpoint_latest.pth")
            return JobResult(Ending.KILLED, "walltime")
        return JobResult(Ending.DONE)

    records, _ = _work(tmp_path, [RUN], attempt, retries=1)
    assert records[0].status is Status.DONE
    assert len(attempts) == 6


def test_a_run_that_never_progresses_is_given_up(tmp_path: Path) -> None:
    def attempt(run: Run) -> JobResult:
        raise RuntimeError("the node\nis gone")

    records, engine = _work(tmp_path, [RUN], attempt, retries=2)
    assert records[0].status is Status.FAILED
    assert records[0].message == "its worker was lost (the node is gone); 3 times in a row without a new checkpoint"
    assert len(engine.submitted) == 3


def test_a_fold_in_work_elsewhere_is_waited_for(tmp_path: Path) -> None:
    lock = acquire(RUN.folder(tmp_path), "another benchmark")
    assert lock is not None
    seen = []

    def show(records: list[Record]) -> None:
        seen.append(records[0].status)
        if len(seen) == 3:  # the other one finishes
            write_summary(RUN.folder(tmp_path))
            lock.release()

    engine = ScriptedEngine(lambda run: JobResult(Ending.DONE))
    schedule = Schedule([RUN], Site(tmp_path, tmp_path, False, "tests"), engine.submit, retries=0)
    schedule.work(show, pause_s=0)  # type: ignore[arg-type]
    assert seen == [Status.ELSEWHERE] * 3 + [Status.DONE]
    assert engine.submitted == []
