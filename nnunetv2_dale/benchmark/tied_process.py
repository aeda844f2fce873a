"""``python -m nnunetv2_dale.benchmark.tied_process CMD …``: run a command that ends when its parent ends.

Parsl's interchange would otherwise outlive a benchmark that was killed outright. It also gets a session of its own, so
that Ctrl-C reaches the benchmark alone, which then ends everything in order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie_to_parent(number: signal.Signals) -> None:
    """Let Linux send this process signal `number` when its parent dies; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


if __name__ == "__main__":
    tie_to_parent(signal.SIGTERM)
    os.setsid()
    os.execvp(sys.argv[1], sys.argv[1:])
