"""What the benchmarks of commands share: some of their parts are measured, and a JSON file holds the latest of each."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Part = Callable[[Path], dict[str, float]]
"""Measures in an empty folder of its own; its docstring says what."""


def timed_command(arguments: Sequence[str], raw: Path) -> dict[str, float]:
    """Run Python as a user does: seconds, processor seconds, and the peak GiB of the main process.

    The workers of a pool are no children that were waited for: their memory does not count.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "nnUNet_raw": str(raw), "PYTHONPATH": str(ROOT)}
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, env=environment, stdout=sys.stderr)
    seconds, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"seconds": round(seconds, 2), "cpu_seconds": round(used, 2), "peak_GiB": round(peak / 2**20, 2)}


def measure_parts(description: str | None, parts: Mapping[str, Part], targets: Mapping[str, dict[str, float]]) -> None:
    """Run the parts that the command line asks for; parts of the file that were not asked for stay."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    parser.add_argument("--output", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    results: dict[str, object] = {}
    if arguments.output and arguments.output.is_file():
        results = dict(json.loads(arguments.output.read_text()))
    for name in arguments.only:
        load = round(os.getloadavg()[0], 1)
        with tempfile.TemporaryDirectory() as folder:
            row = parts[name](Path(folder))
        what = (parts[name].__doc__ or "").strip()
        results[name] = {"what": what, "target": targets[name], "load_before": load, **row}
    # only now: the peak memory of a process that this one starts is never below this one's own
    from benchmarks.machine import made_here

    results |= made_here()
    text = json.dumps(results, indent=1)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")
