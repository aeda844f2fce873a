"""How many threads a training on the CPU takes.

`nnUNetv2_train -device cpu` takes one for each core of the machine, whatever `OMP_NUM_THREADS` says: on a machine with
other work, trainings wait for each other's threads and take many times as long.
"""

from __future__ import annotations

import os

import torch

THREADS_VARIABLE = "OMP_NUM_THREADS"


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
