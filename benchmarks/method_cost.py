"""What an iteration of each method beside DALE costs, beside nnU-Net's own: time and memory, and what its passes cost.

    python -m benchmarks.method_cost --json FILE        2D, tiny plans
    python -m benchmarks.method_cost --3d --json FILE   3D, tiny plans

Synthetic batches, no data loading, no dataset. All methods run in one process, in turns (`timing.interleaved`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from benchmarks.cases import TINY_2D, TINY_3D, Case
from benchmarks.machine import made_here
from benchmarks.memory import add_memory, measured_in_children, start_server
from benchmarks.method_iterations import BESIDE, PASSES, PASSES_3D, iteration
from benchmarks.results_file import ResultsFile, add_json
from benchmarks.synthetic_training import synthetic_folders
from benchmarks.table import markdown
from benchmarks.timing import interleaved, ratios
from nnunetv2_dale.commands.command_line import run_command


def measure(case: Case, device: torch.device, repetitions: int, with_memory: bool = True) -> dict[str, Any]:
    """Time ratios to plain nnU-Net, what the count of passes lets expect, and memory ratios.

    What trains another network than nnU-Net's has its ratios to a plain update of that network.
    """
    methods = PASSES | (PASSES_3D if len(case.patch) == 3 else {})
    seconds = interleaved({name: iteration(name, case, device) for name in methods}, repetitions, device)
    found: dict[str, dict[str, Any]] = {}
    for name, passes in methods.items():
        reference = seconds[BESIDE.get(name, "plain")]
        found[name] = {"passes": passes, **ratios(seconds[name], reference), "seconds": seconds[name]}
    if with_memory:
        add_memory(found, measured_in_children(tuple(methods), case, device, iteration), BESIDE)
    return {"case": case.describe(), "repetitions": repetitions, "variants": found}


def methods_table(methods: dict[str, Any]) -> str:
    """One row per method: what was measured beside what its passes cost."""
    header = ["method", "passes / plain", "time / plain", "min", "max", "peak memory / plain", "step memory / plain"]
    rows = [
        [
            name,
            f"{found['passes']:.2f}",
            *(f"{found[key]:.2f}" for key in ("ratio_median", "ratio_min", "ratio_max")),
            *(f"{found[key]:.2f}" if key in found else "-" for key in ("peak_memory_ratio", "step_memory_ratio")),
        ]
        for name, found in methods.items()
    ]
    return markdown(header, rows)


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    os.environ["nnUNet_compile"] = "f"  # noqa: SIM112 -- nnU-Net's name
    case = TINY_3D if arguments.three_d else TINY_2D
    results = ResultsFile(arguments.json, made_here(device), arguments.overwrite)
    like = {"repetitions": arguments.repetitions}
    with synthetic_folders():
        start_server(device)
        for row in results.measured((case,), lambda each: measure(each, device, arguments.repetitions), like):
            print(f"\n{case.name}: batch {case.batch} of {' x '.join(map(str, case.patch))}\n")
            print(methods_table(row["variants"]))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--3d", dest="three_d", action="store_true", help="3D instead of 2D")
    add_json(parser)
    parser.add_argument("--repetitions", type=int, default=11, metavar="N", help="of every method (default: 11)")
    parser.add_argument("-device", default="cpu", choices=["cpu", "cuda"], help="default: cpu")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
