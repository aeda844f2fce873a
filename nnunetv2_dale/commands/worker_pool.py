"""Worker processes that leave Ctrl-C to the process that started them, and never outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from types import FrameType


class _Worker(BaseProcess):
    """A process that never sees SIGINT, not even while its interpreter still imports, and ends when its parent does."""

    def start(self) -> None:
        with interrupts_held():
            super().start()

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # for platforms without masks, and a fork server begun without one
        threading.Thread(target=_end_with_parent, daemon=True).start()
        super().run()


class _SpawnedWorker(_Worker, SpawnProcess):
    pass


class _SpawnedWorkers(SpawnContext):
    Process = _SpawnedWorker


if sys.platform == "win32":
    _FORK_SERVER = None
else:
    from multiprocessing import forkserver, resource_tracker
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    class _ForkedWorker(_Worker, ForkServerProcess):
        pass

    class _ForkedWorkers(ForkServerContext):
        Process = _ForkedWorker

    _FORK_SERVER = _ForkedWorkers() if "forkserver" in multiprocessing.get_all_start_methods() else None


def usable_cores() -> int:
    """Cores this process may run on: inside a cluster's job those of the job, not of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def worker_pool(
    processes: int, initializer: Callable[..., object], initargs: tuple[object, ...] = (), preload: Sequence[str] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Workers for the length of the block, which a block that ends early (Ctrl-C, an error) ends at once.

    Args:
        processes: how many; each starts when there is work for it.
        initializer: called in each worker with `initargs`.
        preload: modules that are slow to import: where the platform has a fork server it imports them once and forks
            each worker, before any thread runs. Without it each worker is a fresh interpreter.
    """
    context: SpawnContext | ForkServerContext = _SpawnedWorkers()
    if preload and _FORK_SERVER is not None:
        context = _FORK_SERVER
        context.set_forkserver_preload(list(preload))
        _start_fork_server(context)
    executor = ProcessPoolExecutor(processes, context, initializer, initargs)
    try:
        yield executor
    except BaseException:
        for child in multiprocessing.active_children():
            if isinstance(child, _Worker):
                child.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_fork_server(context: ForkServerContext) -> None:
    """Wait for the imports of the fork server, in a way that Ctrl-C ends; starting a worker holds Ctrl-C back."""
    first = context.Process(target=int)  # does nothing
    errors: list[OSError | EOFError] = []

    def start() -> None:
        try:
            first.start()
        except (OSError, EOFError) as error:  # also after the interrupt, when nobody asks any more
            errors.append(error)

    starting = threading.Thread(target=start, daemon=True)
    starting.start()
    try:
        starting.join()
    except BaseException:
        server = getattr(forkserver._forkserver, "_forkserver_pid", None)
        if server is not None:  # it would import to the end first
            os.kill(server, signal.SIGKILL)
        raise
    if errors:
        raise errors[0]
    first.join()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Processes started in the block have SIGINT blocked for good; a Ctrl-C meanwhile reaches this one after the block.

    Blocking alone would not keep it from this process: another thread may take the signal, and Python raises
    KeyboardInterrupt in the main thread all the same, where a half-started worker would then fail with a traceback.
    """
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # starting it later, with the first worker, would unblock SIGINT
    previous_handler = signal.getsignal(signal.SIGINT)
    replaced = previous_handler is not None and threading.current_thread() is threading.main_thread()
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    if replaced:
        signal.signal(signal.SIGINT, note)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if replaced:
            signal.signal(signal.SIGINT, previous_handler)
        if received:
            signal.raise_signal(signal.SIGINT)


def _end_with_parent() -> None:
    """A worker waiting for work holds the queue open itself, so that it would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
