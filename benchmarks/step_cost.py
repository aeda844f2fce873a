"""What a DALE iteration costs, beside nnU-Net's own train_step: time, memory, and the parts.

    python benchmarks/step_cost.py --quick                 2D, tiny plans, under a minute
    python benchmarks/step_cost.py --json FILE             2D and 3D, both encoders, 3 and 14 classes
    python benchmarks/step_cost.py --growth --json FILE    how the cost grows with volume, classes, batch, channels

Synthetic batches, no data loading, no dataset. All variants run in one process, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout works without installation
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from cases import ALL, GROWTH, TINY_2D, Case
from machine import command_line, describe
from memory import measured_in_child
from table import growth_table, parts_table, variants_table
from timing import interleaved, ratios
from variants import VARIANTS, iteration, synthetic_folders, trainer

from nnunetv2_dale.atomic_output import new_file
from nnunetv2_dale.command_line import UserError, run_command


def measure(
    case: Case,
    device: torch.device,
    repetitions: int,
    variants: Sequence[str] = VARIANTS,
    with_parts: bool = True,
    with_memory: bool = True,
) -> dict[str, Any]:
    """Time ratios, memory ratios and parts of one case."""
    runs = {name: iteration(name, case, device) for name in variants}
    seconds = interleaved(runs, repetitions, device)
    found: dict[str, dict[str, float]] = {name: ratios(seconds[name], seconds["plain"]) for name in variants}
    runs.clear()
    result: dict[str, Any] = {"case": case.describe(), "repetitions": repetitions, "variants": found}
    if with_parts:
        result["parts"] = _parts(case, device, repetitions, found)
    if with_memory:
        with ThreadPoolExecutor(max_workers=os.cpu_count() if device.type == "cpu" else 1) as pool:
            used_by = pool.map(lambda name: measured_in_child(name, case, device), variants)
            memory = dict(zip(variants, used_by, strict=True))
        for name, used in memory.items():
            found[name] |= used
            found[name]["peak_memory_ratio"] = used["peak_mib"] / memory["plain"]["peak_mib"]
            found[name]["step_memory_ratio"] = used["step_mib"] / memory["plain"]["step_mib"]
    return result


def _parts(case: Case, device: torch.device, repetitions: int, variants: dict[str, Any]) -> dict[str, Any]:
    from parts import Parts

    parts = Parts(trainer(case, device, {}), case, device)
    parts.seconds()  # warm-up
    seconds = [parts.seconds() for _ in range(repetitions)]
    medians = {name: statistics.median(each[name] for each in seconds) for name in seconds[0]}
    return {
        name: {
            "seconds_median": median,
            "of_plain": median / variants["plain"]["seconds_median"],
            "of_lookahead": median / variants["lookahead"]["seconds_median"],
        }
        for name, median in medians.items()
    }


def run(arguments: argparse.Namespace) -> None:
    if not {"plain", "lookahead"} <= set(arguments.variants):
        raise UserError(f"expected plain and lookahead among --variants, got {' '.join(arguments.variants)}; add them")
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    os.environ["nnUNet_compile"] = "t" if arguments.compile else "f"  # noqa: SIM112 -- nnU-Net's name
    cases = GROWTH if arguments.growth else (TINY_2D,) if arguments.quick else ALL
    if arguments.only is not None:
        cases = tuple(case for case in cases if arguments.only in case.name)
    repetitions = arguments.repetitions or (3 if arguments.quick else 11)
    machine = describe(device, arguments.threads)
    measured = []
    with synthetic_folders():
        for case in cases:
            if arguments.growth:
                chosen = ("plain", "lookahead", "reuse")
                measured.append(measure(case, device, repetitions, chosen, False, not arguments.only_time))
                continue
            chosen = tuple(arguments.variants)
            measured.append(
                measure(case, device, repetitions, chosen, not arguments.only_time, not arguments.only_time)
            )
            _print_case(measured[-1])
    if arguments.growth:
        print(growth_table(measured))
    if arguments.json is not None:
        report = {"command": command_line(), "machine": machine, "compile": arguments.compile}
        # the first case once more at the top: the 2D tiny plans, what the targets are stated for
        report |= {"variants": measured[0]["variants"], "cases": measured}
        with new_file(arguments.json, overwrite=arguments.overwrite) as unfinished:
            unfinished.write_text(json.dumps(report, indent=1) + "\n")


def _print_case(measured: dict[str, Any]) -> None:
    case = measured["case"]
    print(f"\n{case['name']}: batch {case['batch']} of {' x '.join(map(str, case['patch']))}\n")
    print(variants_table(measured["variants"]))
    if "parts" in measured:
        print()
        print(parts_table(measured["parts"]), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2D with tiny plans only, few repetitions")
    parser.add_argument("--growth", action="store_true", help="rows of growing volume, classes, batch and channels")
    parser.add_argument("--only", metavar="TEXT", help="only the cases whose name contains this, e.g. 3d")
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write the results and the machine's description here"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument(
        "--repetitions", type=int, metavar="N", help="of every variant (default: 3 with --quick, else 11)"
    )
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS, help="default: all")
    parser.add_argument("--only-time", action="store_true", help="of whole iterations: neither memory nor parts")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    parser.add_argument("-device", default="cpu", choices=["cpu", "cuda"], help="default: cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile, as nnU-Net does by default on CUDA")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
