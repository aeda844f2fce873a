"""Disks that fill up, and commands that are killed in the middle."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_KILLED = """
import importlib, os, signal, sys
command, module, name, calls, *arguments = sys.argv[1:]
module = importlib.import_module(module)
real, left = getattr(module, name), [int(calls)]

def killed(*given, **named):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)

setattr(module, name, killed)
sys.exit(importlib.import_module(command).main(arguments))
"""


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes, which stands for the full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def kill_at(command: str, function: str, calls: int, arguments: Sequence[str]) -> None:
    """Run a command that is killed outright, as by a machine without memory, when it calls something once more.

    Args:
        command: its module, which has `main`.
        function: module and name of what it calls.
        calls: it is killed at this call, counted from 1.
        arguments: of the command.
    """
    module, _, name = function.rpartition(".")
    words = [sys.executable, "-c", _KILLED, command, module, name, str(calls), *arguments]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr
