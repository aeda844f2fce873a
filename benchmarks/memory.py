"""Peak memory of one variant: the allocator's peak on CUDA, the peak resident set of a child process on the CPU."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import Case

Make = Callable[[str, Case, torch.device], Callable[..., object]]

# The order in which children start: the longest first, so that none of them runs alone at the end.
_LONGEST_FIRST = (
    *("double_backward", "lookahead_recompute", "lookahead_shifted", "lookahead", "dale", "reuse", "dale_reuse"),
    *("head", "dale_head", "alternation", "dale_whole", "case_trust", "plain"),
)


def counting_page_faults(run: Callable[..., object], counts: list[int]) -> Callable[[], None]:
    """The run, noting in `counts` how many pages of memory the system had to bring for it (without reading a disk)."""

    def counted() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        run()
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

    return counted


def start_server(device: torch.device) -> None:
    """Start the process that children are forked from, which takes seconds of imports, beside what comes next.

    To be called within `synthetic_folders`: children have the environment that the server was started with.
    """
    # The server has only imported things: what this process has used is not in the children's peak.
    multiprocessing.set_forkserver_preload(["nnunetv2_dale.trainer.dale"] if device.type == "cpu" else [])
    forkserver.ensure_running()


def measured_in_children(
    variants: Sequence[str], case: Case, device: torch.device, make: Make
) -> dict[str, dict[str, float]]:
    """Memory of every variant, whose iteration a function of a module makes, each in a process of its own.

    As many at once as there are cores, one on a GPU.
    """
    ordered = sorted(variants, key=lambda name: _LONGEST_FIRST.index(name) if name in _LONGEST_FIRST else -1)
    with ThreadPoolExecutor(max_workers=os.cpu_count() if device.type == "cpu" else 1) as pool:
        used_by = dict(
            zip(ordered, pool.map(lambda name: measured_in_child(name, case, device, make), ordered), strict=True)
        )
    return {name: used_by[name] for name in variants}


def add_memory(
    found: Mapping[str, dict[str, Any]], memory: Mapping[str, dict[str, float]], beside: Mapping[str, str] | None = None
) -> None:
    """Add what `measured_in_children` found to each variant's numbers, also as a share of plain nnU-Net's.

    Or of the variant that stands `beside` it.
    """
    for name, used in memory.items():
        reference = memory[(beside or {}).get(name, "plain")]
        shares = {f"{key}_memory_ratio": used[f"{key}_mib"] / reference[f"{key}_mib"] for key in ("peak", "step")}
        found[name].update(used | shares)


def measured_in_child(variant: str, case: Case, device: torch.device, make: Make) -> dict[str, float]:
    """Memory of a variant in MiB, from a process of its own. To be called after `start_server`.

    Returns:
        peak_mib: the whole process on the CPU (Python, torch and nnU-Net included), the allocator's peak on CUDA.
        step_mib: what the iterations added to the process as it was with network and batch in place; on CUDA the same
            beyond what was allocated before.
    """
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, variant, case, device, make))
    process.start()
    sender.close()  # the child has its own
    try:
        found: dict[str, float] = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(
            f"measuring the memory of {variant} on {case.name} failed: its process ended with {process.exitcode}"
        ) from None
    process.join()
    return found


def _answer(sender: Connection, variant: str, case: Case, device: torch.device, make: Make) -> None:
    sender.send(_measure(variant, case, device, make))


def _measure(variant: str, case: Case, device: torch.device, make: Make) -> dict[str, float]:
    from benchmarks.synthetic_training import first_sample

    torch.set_num_threads(1)
    _settle_allocator()
    run = make(variant, case, device)
    _settle_allocator()  # again: the trainer may have set it otherwise
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        before = _peak_of_process()
    # The optimizer's momentum belongs to the peak, and comes with the first update: on the CPU that of one sample,
    # on CUDA of a whole batch, since another size would compile the network once more.
    run(first_sample(case, device) if device.type == "cpu" else None)
    run()
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _peak_of_process()
    return {"peak_mib": peak / 2**20, "step_mib": (peak - before) / 2**20}


def _settle_allocator() -> None:
    """Fix glibc's limit for blocks of their own, which otherwise rises with use and leaves freed memory resident.

    With the limit fixed the resident set follows what tensors hold, not the allocator's history.
    """
    mmap_threshold = -3  # M_MMAP_THRESHOLD of malloc.h
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(mmap_threshold, 1024 * 1024)


def _peak_of_process() -> int:
    """Peak resident bytes as if this process had imported everything itself.

    After a fork it counts only the pages of the libraries that it touched again; the server has touched all of them.
    """
    untouched = _resident_bytes("RssFile", os.getppid()) - _resident_bytes("RssFile")
    return _resident_bytes("VmHWM") + max(0, untouched)


def _resident_bytes(field: str, process: int | None = None) -> int:
    """VmRSS, VmHWM or RssFile of a process, by default this one; where there is no /proc, this one's peak for all.

    Not ru_maxrss on Linux: a child process inherits its parent's. VmHWM begins anew at a fork.
    """
    status = Path(f"/proc/{process or 'self'}/status")
    if not status.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024
