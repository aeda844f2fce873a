"""Times of several iterations side by side, and their ratios.

On the CPU the clock is the processor time of this process (all its threads), equal to wall-clock time with one thread
on a machine that does nothing else, and blind to what else it does. On CUDA it is wall-clock time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch


def interleaved(
    runs: Mapping[str, Callable[[], object]], repetitions: int, device: torch.device, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of each run in each repetition; every repetition runs all of them, each time starting with another.

    What slows the machine down for a while slows all of them, and neither is always the one with warm caches.
    """
    names = list(runs)
    for _ in range(warmup):
        for name in names:
            runs[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for repetition in range(repetitions):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(seconds_of(runs[name], device))
    return seconds


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, until the device has finished it."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    _wait(device)
    start = clock()
    run()
    _wait(device)
    return clock() - start


def ratios(seconds: Sequence[float], plain_seconds: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest ratio over the repetitions, each to the plain run of the same repetition."""
    each = [part / whole for part, whole in zip(seconds, plain_seconds, strict=True)]
    return {
        "ratio_median": statistics.median(each),
        "ratio_min": min(each),
        "ratio_max": max(each),
        "ratio_of_fastest": min(seconds) / min(plain_seconds),
        "seconds_median": statistics.median(seconds),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
