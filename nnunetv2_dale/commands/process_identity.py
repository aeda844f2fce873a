"""Which process on which machine: enough to tell later, from the same machine, whether it still runs."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told apart from a later one that was given the same number."""

    machine: str  # host name, boot and process-number space; equal only where process numbers mean the same
    pid: int  # process number on that machine
    started: str  # when the process started, in the machine's own notation

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return the identity of the calling process."""
        return cls(machine=this_machine(), pid=os.getpid(), started=_start_of(os.getpid()) or "")

    def is_alive(self) -> bool | None:
        """Return whether the process still runs.

        None when this machine cannot know because the process is on another.
        """
        if self.machine != this_machine():
            return None
        return _start_of(self.pid) == self.started

    @property
    def host(self) -> str:
        """The machine's host name, for messages."""
        return self.machine.split("/", 1)[0]


def this_machine() -> str:
    """Host name, boot and process-number space of this machine, as one string."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    numbers = Path("/proc/self/ns/pid")
    parts = [socket.gethostname()]
    if boot.exists():
        parts += [boot.read_text().strip(), str(numbers.stat().st_ino)]
    return "/".join(parts)


def _start_of(pid: int) -> str | None:
    """When process `pid` started, or None when there is none (a zombie counts as none)."""
    if Path("/proc/self/stat").exists():
        try:
            # the command's name stands in brackets and may itself hold brackets and spaces
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, start_ticks = fields[0], fields[19]
        return None if state in "ZX" else start_ticks
    listing = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, start = listing.stdout.strip().partition(" ")
    return start.strip() or None if state and not state.startswith("Z") else None
