"""What only a GPU shows, in under nine minutes: `make gpu`.

The tests that need one, the cost and memory of an iteration with AMP and compiled networks, and a 3D training of a few
epochs with the commands that users have, on the demo's phantom. Each step has a limit of its own, and what it measured
by then is stored in `results/gpu/`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import command_environment, describe, shown
from benchmarks.results_file import write_results
from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.demo.pipeline import DATASET_ID

RESULTS = Path(__file__).resolve().parent / "results" / "gpu"


def steps(work: Path, results: Path) -> list[tuple[str, list[str], int]]:
    """What is run: its name, its command, and its limit in seconds."""
    number, cost = str(DATASET_ID), str(results / "step_cost.json")
    trainers = ["nnUNetTrainer_5epochs", "nnUNetTrainerDALE_5epochs"]
    measure = ["--training", "-device", "cuda", "--compile", "--repetitions", "5", "--json", cost, "--overwrite"]
    train = ["nnUNetv2_dale_benchmark", "-d", number, "-c", "3d_fullres", "-f", "0", "-tr", *trainers]
    return [
        ("tests", [sys.executable, "-m", "pytest", "-q", "tests/trainer/test_devices.py"], 90),
        ("step_cost", [sys.executable, "-m", "benchmarks.step_cost", *measure], 200),
        ("phantom", ["nnUNetv2_dale_demo", "-o", str(work), "--quick", "-device", "cuda"], 60),
        ("plan_3d", ["nnUNetv2_plan_and_preprocess", "-d", number, "-c", "3d_fullres", "-np", "4"], 30),
        ("train_3d", [*train, "-o", str(work / "reports")], 140),
    ]


def run(arguments: argparse.Namespace) -> int:
    if not torch.cuda.is_available():
        raise UserError("this needs a GPU that PyTorch sees, and found none; nothing was measured")
    results: Path = arguments.o
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "demo"
        names = {f"nnUNet_{name}": str(work / f"nnUNet_{name}") for name in ("raw", "preprocessed", "results")}
        rows = []
        for name, command, limit in steps(work, results):
            rows.append({"step": name, **_timed(command, limit, {**command_environment(), **names})})
            print(f"{name}: {rows[-1]['ended']} after {rows[-1]['seconds']} s", flush=True)
        reports = sorted((work / "reports").glob("*/report.json"))
        trained = [_trained(run) for file in reports for run in json.loads(file.read_text())["runs"]]
    machine = describe(torch.device("cuda"), torch.get_num_threads())
    summary = {"command": "python -m benchmarks.gpu", "machine": machine, "steps": rows, "trainings": trained}
    write_results(results / "summary.json", summary)
    return 0 if all(row["ended"] == "well" for row in rows) else 1


def _timed(command: Sequence[str], limit: int, environment: dict[str, str]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        process = subprocess.run(
            command, env=environment, timeout=limit, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        ended, output = "well" if process.returncode == 0 else f"with {process.returncode}", process.stdout
    except subprocess.TimeoutExpired as error:
        ended, output = "at its limit", os.fsdecode(error.stdout or b"")
    seconds = round(time.monotonic() - started, 1)
    return {"command": shown(command), "ended": ended, "seconds": seconds, "last_lines": output.splitlines()[-5:]}


def _trained(run: dict[str, Any]) -> dict[str, Any]:
    dice = [value for value in run["values"]["Dice"]["mean"] if value is not None]
    return {"trainer": run["trainer"], "costs": run["costs"], "mean_dice": sum(dice) / len(dice) if dice else None}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", type=Path, default=RESULTS, metavar="FOLDER", help="of the results")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
