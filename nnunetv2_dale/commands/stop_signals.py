"""Signals: those that stop a command as Ctrl-C does, and those by which it ends what it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

GRACE_S = 10.0


@contextlib.contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """While in the block, SIGTERM and SIGHUP interrupt as Ctrl-C does; yields the list of those that came.

    Outside the main thread signals cannot be handled, and nothing changes.
    """
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def interrupt(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def ignore_stop_signals() -> None:
    """Let nothing disturb the end: workers are told, folds freed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def end_session(leader: subprocess.Popen[Any]) -> None:
    """End a process that leads its own session, and all that it started and may have left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            leader.wait(GRACE_S)
    leader.wait()
