"""What a DALE iteration costs, beside nnU-Net's own train_step: time, memory, and the parts.

    python -m benchmarks.step_cost --quick                 2D, tiny plans, the main variants, under a minute
    python -m benchmarks.step_cost --json FILE             2D and 3D, both encoders, 3 and 14 classes
    python -m benchmarks.step_cost --show FILE             the tables of FILE once more
    python -m benchmarks.step_cost --training --only 2d    what whole trainings cost, their phases counted in
    python -m benchmarks.step_cost --growth --json FILE    how the cost grows with volume, classes, batch, channels

FILE is written after every case; --resume goes on where an interrupted run stopped. Synthetic batches, no data loading,
no dataset. All variants run in one process, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from benchmarks.cases import ALL, GROWTH, TINY_2D, Case
from benchmarks.machine import made_here
from benchmarks.memory import add_memory, counting_page_faults, measured_in_children, start_server
from benchmarks.results_file import ResultsFile, add_json
from benchmarks.synchronisations import synchronisations
from benchmarks.synthetic_training import synthetic_folders
from benchmarks.table import (
    growth_table,
    parts_table,
    stored_tables,
    synchronisations_table,
    trainings_table,
    variants_table,
)
from benchmarks.timing import interleaved, ratios
from benchmarks.training_cost import VARIANTS as OF_TRAININGS
from benchmarks.training_cost import training_costs
from benchmarks.variants import ONCE_IF_QUICK, QUICK_VARIANTS, VARIANTS, iteration, trainer
from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.dale.config import PRINTED


def measure(
    case: Case,
    device: torch.device,
    repetitions: int,
    variants: Sequence[str] = VARIANTS,
    with_parts: bool = True,
    with_memory: bool = True,
    once: Sequence[str] = (),
) -> dict[str, Any]:
    """Time ratios, memory ratios, parts and waits for the GPU of one case; `once` as for `interleaved`."""
    runs = {name: iteration(name, case, device) for name in variants}
    faults: dict[str, list[int]] = {name: [] for name in variants}
    counted = {name: counting_page_faults(run, faults[name]) for name, run in runs.items()}
    seconds = interleaved(counted, repetitions, device, once)
    found: dict[str, dict[str, Any]] = {
        name: ratios(seconds[name], seconds["plain"])
        | {"seconds": seconds[name], "page_faults_median": statistics.median(faults[name][1:])}
        for name in variants
    }
    waits = {name: synchronisations(run, device) for name, run in runs.items() if name != "double_backward"}
    runs.clear()
    counted.clear()  # the last references to the networks
    result: dict[str, Any] = {"case": case.describe(), "repetitions": repetitions, "variants": found}
    result["synchronisations"] = waits if device.type == "cuda" else None
    if with_parts:
        result["parts"] = _parts(case, device, 1 if once else repetitions, found)
    if with_memory:
        add_memory(found, measured_in_children(variants, case, device, iteration))
    if trainings := training_costs(found):
        result["trainings"] = trainings
    return result


def _parts(case: Case, device: torch.device, repetitions: int, variants: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.parts import Parts

    parts = Parts(trainer(case, device, PRINTED), case, device)
    if device.type == "cuda":
        parts.seconds()  # compiles the network; on the CPU the iterations before have warmed everything up
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
    if arguments.show is not None:
        report = _read(arguments.show)
        tables = [growth_table(report["cases"])] if arguments.growth else stored_tables(report, arguments.only or "")
        print("\n\n".join(tables))
        return
    variants = _chosen_variants(arguments)
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    os.environ["nnUNet_compile"] = "t" if arguments.compile else "f"  # noqa: SIM112 -- nnU-Net's name
    cases: tuple[Case, ...] = GROWTH if arguments.growth else (TINY_2D,) if arguments.quick else ALL
    cases = tuple(case for case in cases if arguments.only is None or arguments.only in case.name)
    if not cases:
        raise UserError(f"no case has {arguments.only!r} in its name; see benchmarks/cases.py for the names")
    repetitions = arguments.repetitions or (3 if arguments.quick else 11)
    header = made_here(device, arguments.threads) | {"compile": arguments.compile}
    results = ResultsFile(arguments.json, header, arguments.overwrite, arguments.resume)
    with_memory = not arguments.only_time
    once = ONCE_IF_QUICK if arguments.quick else ()
    with_parts = with_memory and not (arguments.growth or arguments.training)

    def measured(case: Case) -> dict[str, Any]:
        return measure(case, device, repetitions, variants, with_parts, with_memory, once)

    like = {"repetitions": repetitions, "measured": {"memory": with_memory, "parts": with_parts, "variants": variants}}
    rows = []
    with synthetic_folders():
        if with_memory:
            start_server(device)
        for row in results.measured(cases, measured, like):
            rows.append(row)
            if not arguments.growth:
                _print_case(row)
    if arguments.growth:
        print(growth_table(rows))


def _read(path: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a result of this benchmark: {error}") from error
    return report


def _chosen_variants(arguments: argparse.Namespace) -> list[str]:
    growing = ("plain", "lookahead", "reuse")
    default = growing if arguments.growth else QUICK_VARIANTS if arguments.quick else VARIANTS
    chosen = list(arguments.variants or (OF_TRAININGS if arguments.training else default))
    if not {"plain", "lookahead"} <= set(chosen) or (arguments.growth and "reuse" not in chosen):
        needed = " and ".join(growing if arguments.growth else growing[:2])
        raise UserError(f"expected {needed} among --variants, got {' '.join(chosen)}; add them")
    return chosen


def _print_case(measured: dict[str, Any]) -> None:
    case = measured["case"]
    print(f"\n{case['name']}: batch {case['batch']} of {' x '.join(map(str, case['patch']))}\n")
    print(variants_table(measured["variants"]), flush=True)
    tables: dict[str, Callable[[Any], str]] = {"parts": parts_table, "trainings": trainings_table}
    tables["synchronisations"] = synchronisations_table
    for name, table in tables.items():
        if measured.get(name) is not None:
            print(f"\n{table(measured[name])}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2D with tiny plans only, few repetitions")
    parser.add_argument("--growth", action="store_true", help="rows of growing volume, classes, batch and channels")
    parser.add_argument("--training", action="store_true", help="the iterations that whole trainings are made of")
    parser.add_argument("--only", metavar="TEXT", help="only the cases whose name contains this, e.g. 3d")
    add_json(parser)
    parser.add_argument("--show", metavar="FILE", type=Path, help="measure nothing: the tables of a file of results")
    parser.add_argument("--resume", action="store_true", help="measure only the cases that FILE does not hold")
    parser.add_argument(
        "--repetitions", type=int, metavar="N", help="of every variant (default: 3 with --quick, else 11)"
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, help="default: all, fewer with --quick or --growth")
    parser.add_argument("--only-time", action="store_true", help="of whole iterations: neither memory nor parts")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    parser.add_argument("-device", default="cpu", choices=["cpu", "cuda"], help="default: cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile, as nnU-Net does by default on CUDA")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
