"""Peak memory of one variant: the allocator's peak on CUDA, the peak resident set of a child process on the CPU."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout works without installation

import torch
from cases import Case

# The order in which children start: the longest first, so that none of them runs alone at the end.
_LONGEST_FIRST = ("double_backward", "lookahead_recompute", "lookahead", "reuse", "alternation", "one_update", "plain")


def measured_in_children(variants: Sequence[str], case: Case, device: torch.device) -> dict[str, dict[str, float]]:
    """Memory of every variant, each in a process of its own: as many at once as there are cores, one on a GPU."""
    ordered = sorted(variants, key=_LONGEST_FIRST.index)
    with ThreadPoolExecutor(max_workers=os.cpu_count() if device.type == "cpu" else 1) as pool:
        used_by = dict(zip(ordered, pool.map(lambda name: measured_in_child(name, case, device), ordered), strict=True))
    return {name: used_by[name] for name in variants}


def measured_in_child(variant: str, case: Case, device: torch.device) -> dict[str, float]:
    """Memory of a variant in MiB, from a process of its own.

    Returns:
        peak_mib: the whole process on the CPU (Python, torch and nnU-Net included), the allocator's peak on CUDA.
        step_mib: what the iterations added to the process as it was with network and batch in place; on CUDA the same
            beyond what was allocated before.
    """
    question = json.dumps({"variant": variant, "case": asdict(case), "device": str(device)})
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, str(Path(__file__).resolve())],
        input=question,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if answer.returncode != 0:
        raise RuntimeError(f"measuring the memory of {variant} on {case.name} failed:\n{answer.stderr[-2000:]}")
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def _measure(variant: str, case: Case, device: torch.device) -> dict[str, float]:
    from variants import first_sample, iteration, synthetic_folders

    torch.set_num_threads(1)
    _settle_allocator()
    with synthetic_folders():
        run = iteration(variant, case, device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        else:
            before = _resident_bytes("VmRSS")
        # The optimizer's momentum belongs to the peak, and comes with the first update: on the CPU that of one sample,
        # on CUDA of a whole batch, since another size would compile the network once more.
        run(first_sample(case, device) if device.type == "cpu" else None)
        run()
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident_bytes("VmHWM")
    return {"peak_mib": peak / 2**20, "step_mib": (peak - before) / 2**20}


def _settle_allocator() -> None:
    """Fix glibc's limit for blocks of their own, which otherwise rises with use and leaves freed memory resident.

    With the limit fixed the resident set follows what tensors hold, not the allocator's history.
    """
    mmap_threshold = -3  # M_MMAP_THRESHOLD of malloc.h
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(mmap_threshold, 1024 * 1024)


def _resident_bytes(field: str) -> int:
    """VmRSS or VmHWM of this process; where there is no /proc, the peak for both.

    Not ru_maxrss on Linux: a child process inherits its parent's.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _main() -> None:
    question: dict[str, Any] = json.loads(sys.stdin.read())
    case = Case(**question["case"] | {"patch": tuple(question["case"]["patch"])})
    print(json.dumps(_measure(question["variant"], case, torch.device(question["device"]))))


if __name__ == "__main__":
    _main()
