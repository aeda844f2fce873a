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
    runs: Mapping[str, Callable[[], object]], repetitions: int, device: torch.device, once: Sequence[str] = ()
) -> dict[str, list[list[float]]]:
    """Seconds of each run: per repetition a list, which has one entry but for the first run, the reference.

    Every repetition runs all of them, each time starting with another, and the reference before each: what slows the
    machine down for a while slows both, and one slow run of the reference moves no ratio by much. Those named in `once`
    are timed in the first repetition alone; like all others they run once before.
    """
    reference, *others = runs
    for run in runs.values():
        run()
    seconds: dict[str, list[list[float]]] = {name: [] for name in runs}
    for repetition in range(repetitions):
        for each in seconds.values():
            each.append([])
        first = repetition % max(1, len(others))
        for name in others[first:] + others[:first] or [reference]:
            if repetition > 0 and name in once:
                continue
            for timed in {reference: None, name: None}:  # both, or the reference alone where there is nothing else
                seconds[timed][-1].append(seconds_of(runs[timed], device))
    return seconds


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, until the device has finished it."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    _wait(device)
    start = clock()
    run()
    _wait(device)
    return clock() - start


def ratios(seconds: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> dict[str, float]:
    """Median, smallest and largest ratio over all runs, each to the median of the reference in the same repetition.

    Of the reference itself it is how far its single runs lie apart.
    """
    each = [
        run / statistics.median(references) for runs, references in zip(seconds, reference, strict=True) for run in runs
    ]
    return {
        "ratio_median": statistics.median(each),
        "ratio_min": min(each),
        "ratio_max": max(each),
        "seconds_median": statistics.median(run for runs in seconds for run in runs),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
