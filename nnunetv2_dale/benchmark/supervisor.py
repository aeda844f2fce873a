"""The process between a worker and its training: holds the fold's lock, chooses the command, and cleans up.

Reads a `Job` from standard input and writes a `JobResult` to standard output. It stops the training and gives the lock
back when it is told to end, when its worker is gone, when the benchmark command it works for is gone, and when the lock
was taken from it; so nothing goes on training in secret after a crash elsewhere.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import FrameType

from nnunetv2_dale.benchmark.job import Ending, Job, JobResult, nnunet_train_command
from nnunetv2_dale.benchmark.state import FoldState, Stage, fold_state
from nnunetv2_dale.benchmark.tied_process import tie_to_parent
from nnunetv2_dale.commands.lock import HEARTBEAT_S, FoldLock, LockLostError, acquire, read_holder
from nnunetv2_dale.commands.stop_signals import end_session
from nnunetv2_dale.nnunet_files.results.training_logs import training_logs

POLL_S = 0.5


class StoppedError(Exception):
    """The training has to end before it is done; the message says why."""


def main() -> int:
    """Do the job on standard input."""
    job = Job.from_json(sys.stdin.read())
    print(supervise(job).to_json())
    return 0


def supervise(job: Job) -> JobResult:
    """Bring the run of `job` to its end, under its lock.

    Returns:
        how it ended; never raises for what the training did.
    """
    folder = job.run.folder(Path(job.results))
    stop_requests = _stop_requests()
    lock = acquire(folder, job.runner)
    if lock is None:
        holder = read_holder(folder)
        where = f"{holder.process.host} since {holder.since}" if holder else "another benchmark"
        return JobResult(Ending.BUSY, f"in work on {where}")
    log: Path | None = None
    try:
        state = _state(job)
        if state.stage is Stage.DONE:
            return JobResult(Ending.DONE, "was done already")
        for broken in state.broken:
            broken.replace(broken.with_name(broken.name + ".cut_short"))
        log = folder / f"benchmark_log_{datetime.now():%Y%m%d_%H%M%S}.txt"
        code = _train(train_command(job, state), log, _watch(job, lock, stop_requests))
        return _result(job, code, log)
    except StoppedError as reason:
        return JobResult(Ending.KILLED, str(reason), str(log))
    finally:
        lock.release()


def train_command(job: Job, state: FoldState) -> list[str]:
    """nnU-Net's own command that takes a fold from `state` to done."""
    run = job.run
    command = [*nnunet_train_command(job.device, _seed(job)), run.dataset, run.configuration, run.fold]
    command += ["-tr", run.trainer, "-p", run.plans, "-device", job.device]
    if job.num_gpus > 1:
        command += ["-num_gpus", str(job.num_gpus)]
    if job.npz:
        command.append("--npz")
    if state.stage is Stage.VALIDATE:
        command.append("--val")
    elif state.stage is Stage.RESUME:
        command.append("--c")
    elif job.pretrained_weights is not None:  # nnU-Net refuses them together with --c
        command += ["-pretrained_weights", job.pretrained_weights]
    return command


def _seed(job: Job) -> int | None:
    """The training's number; one that goes on draws what it has not seen."""
    attempts = len(training_logs(job.run.folder(Path(job.results))))
    return None if job.run.repeat is None else job.run.repeat + 1000 * attempts


def _state(job: Job) -> FoldState:
    return fold_state(job.run, Path(job.results), Path(job.preprocessed), job.npz)


def _result(job: Job, code: int, log: Path) -> JobResult:
    if code < 0:
        return JobResult(Ending.KILLED, f"nnUNetv2_train was ended by signal {-code}", str(log))
    if code > 0:
        return JobResult(Ending.FAILED, f"nnUNetv2_train ended with exit code {code}", str(log))
    state = _state(job)
    if state.stage is not Stage.DONE:
        return JobResult(Ending.FAILED, f"nnUNetv2_train ended well, yet the fold is {state.stage.value}", str(log))
    return JobResult(Ending.DONE, "", str(log))


def _train(command: list[str], log: Path, watch: Callable[[], None]) -> int:
    """Run the command with its output in `log`, calling `watch` all the while.

    Returns:
        its exit code; negative for the signal that ended it.
    """
    with log.open("w") as stream:
        stream.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} on {os.uname().nodename}: {shlex.join(command)}\n")
        stream.flush()
        training = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: tie_to_parent(signal.SIGKILL),
        )
        try:
            while training.poll() is None:
                watch()
                time.sleep(POLL_S)
            return training.returncode
        finally:
            end_session(training)


def _watch(job: Job, lock: FoldLock, stop_requests: list[int]) -> Callable[[], None]:
    worker = os.getppid()
    refreshed = time.monotonic()

    def watch() -> None:
        nonlocal refreshed
        if stop_requests:
            raise StoppedError(f"its worker was told to end (signal {stop_requests[0]})")
        if os.getppid() != worker:
            raise StoppedError("its worker is gone")
        if job.head.is_alive() is False:
            raise StoppedError("the benchmark command is gone")
        if time.monotonic() - refreshed > HEARTBEAT_S:
            refreshed = time.monotonic()
            try:
                lock.refresh()
            except LockLostError as lost:
                raise StoppedError(str(lost)) from lost

    return watch


def _stop_requests() -> list[int]:
    """Return a list that grows by the number of each signal that asks this process to end."""
    requests: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        requests.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)
    return requests


if __name__ == "__main__":
    sys.exit(main())
