"""What a training on the CPU tells its process: how many threads to take, and to keep the memory that it frees.

`nnUNetv2_train -device cpu` takes a thread for each core of the machine, whatever `OMP_NUM_THREADS` says: on a machine
with other work, trainings wait for each other's threads and take many times as long.

By default glibc gives the free end of its heap back to the system and asks for it again, page by page: in every
look-ahead iteration, whose peak lies above what it keeps (docs/evidence/performance.md counts the pages).
"""

from __future__ import annotations

import ctypes
import os
import sys

import torch

THREADS_VARIABLE = "OMP_NUM_THREADS"
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_LARGEST_ADAPTED = 32 * 2**20  # bytes; where glibc's own adaptation of the second would end
_NEVER = 2**31 - 1
_OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def take_allowed_threads() -> int | None:
    """Take as many threads as `OMP_NUM_THREADS` says; where it says nothing, those that are taken stay.

    Returns:
        their number, or None where the variable is unset or no number above 0.
    """
    outermost = os.environ.get(THREADS_VARIABLE, "").split(",")[0].strip()  # OpenMP: a list, one for each nested level
    if not outermost.isdecimal() or int(outermost) < 1:
        return None
    torch.set_num_threads(int(outermost))
    return int(outermost)


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory of blocks up to 32 MiB, for this process.

    The peak stays what it is; between iterations the process holds it instead of less. Nothing is done with another C
    library, nor where the environment has settings of glibc's allocator.

    Returns:
        whether it was told.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _OWN_SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_ADAPTED)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
