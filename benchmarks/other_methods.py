"""Left atrium with half of the labels changed: plain nnU-Net, DALE and the other methods, by equal epochs and time.

    python -m benchmarks.other_methods --workspace W --source FOLDER     data, then every training that is not stored
    python -m benchmarks.other_methods --show                            the table of what is stored

FOLDER holds Dataset015_LeftAtrium. Cases 1 to 64 train, 65 to 80 validate with their own labels. Half of the training
labels are dilated, eroded or displaced, to a mean Dice of 0.75. Small 3D plans, one thread, validation without
mirroring. Every training adds a line to results/other_methods.jsonl. The same command again goes on, and several may
work at once. Trainings of equal time use the cost measured in those of equal epochs. `--iterations 2000` makes, or
shows, longer trainings, `--methods plain DALE` fewer.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.machine import command_environment, describe
from benchmarks.table import markdown
from benchmarks.trainings import add_row, claimed, rows_of, small_plans, use_workspace
from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.label_noise.dataset import TABLE_NAME
from nnunetv2_dale.nnunet_files.displacement_file import FILE as DISPLACEMENTS

RESULTS = Path(__file__).resolve().parent / "results" / "other_methods.jsonl"
SOURCE, NOISY = "Dataset015_LeftAtrium", "Dataset915_LeftAtrium"
TRAINING_CASES = 64
EPOCHS = 20  # the learning rate's schedule has 20 steps in every training, however long
ITERATIONS = 500  # of plain nnU-Net, where nothing else is asked for
TRAINERS = {
    "plain": "nnUNetTrainer",
    "DALE": "nnUNetTrainerDALE",
    "CaseTrust": "nnUNetTrainerCaseTrust",
    "SVL-DRL": "nnUNetTrainerSVLDRL",
    "GCE": "nnUNetTrainerGCE",
    "ADS": "nnUNetTrainerADS",
    "MWNet": "nnUNetTrainerMWNet",
    "BECO": "nnUNetTrainerBECO",
}
SEEDS = (0, 1)
_DICE, _ABOVE = "Dice of each seed", "above plain"
COLUMNS = ["method", "time / plain", f"equal epochs: {_DICE}", _ABOVE, f"equal time: {_DICE}", f"equal time: {_ABOVE}"]


@dataclass(frozen=True)
class Run:
    """One training."""

    method: str
    equal: str  # "epochs": as many batches as plain nnU-Net; "time": as many as fit into its processor time
    seed: int
    iterations: int = ITERATIONS  # of plain nnU-Net


def runs(methods: Sequence[str] = tuple(TRAINERS), iterations: int = ITERATIONS) -> list[Run]:
    """The trainings of a comparison, those of equal time after those that tell their cost."""
    return [
        Run(method, equal, seed, iterations)
        for equal in ("epochs", "time")
        for seed in SEEDS
        for method in methods
        if not (equal == "time" and method == "plain")
    ]


def prepare(workspace: Path, source: Path) -> None:
    """Make the noisy copy, its plans and its preprocessed cases; what is there already stays."""
    raw, preprocessed = workspace / "raw", workspace / "preprocessed"
    for folder in (raw, preprocessed):
        folder.mkdir(parents=True, exist_ok=True)
    if not (raw / SOURCE).exists():
        shutil.copytree(source / SOURCE, raw / SOURCE)
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (raw / SOURCE / "labelsTr").glob("*.nii.gz"))
    splits = workspace / "splits_final.json"
    splits.write_text(json.dumps([{"train": cases[:TRAINING_CASES], "val": cases[TRAINING_CASES:]}]))
    if not (raw / NOISY).exists():
        noise = ["--kind", "dilate", "erode", "shift", "--amount", "1", "1", "2", "--dice", "0.75", "--fraction", "0.5"]
        kept = ["--seed", "1", "--splits", str(splits), "--fold", "0", "-np", "1"]
        subprocess.run(
            ["nnUNetv2_dale_corrupt_labels", "-d", "15", "--new_id", "915", *noise, *kept],
            check=True,
            env=command_environment(),
        )
    if not (preprocessed / NOISY / "tiny.json").exists():
        plan = ["-gpu_memory_target", "0.3", "-overwrite_plans_name", "tiny", "-np", "1", "-c", "3d_fullres"]
        subprocess.run(["nnUNetv2_plan_and_preprocess", "-d", "915", *plan], check=True, env=command_environment())
    shutil.copy(splits, preprocessed / NOISY / "splits_final.json")


def train(run: Run, workspace: Path, cost: float) -> dict[str, Any]:
    """Train and validate; the Dice of every validation case.

    Args:
        cost: by how much fewer iterations than plain nnU-Net are made: for equal time the processor time of the
            method's mean iteration in plain nnU-Net's, else 1.
    """
    import numpy as np
    import torch
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    os.environ["nnUNet_results"] = str(workspace / "results" / "_".join(map(str, asdict(run).values())))  # noqa: SIM112
    torch.manual_seed(run.seed)
    np.random.seed(run.seed)
    random.seed(run.seed)
    folder = workspace / "preprocessed" / NOISY
    trainer: Any = recursive_find_trainer_class_by_name(TRAINERS[run.method])(
        small_plans(folder), "3d_fullres", 0, json.loads((folder / "dataset.json").read_text()), torch.device("cpu")
    )
    iterations = max(1, round(run.iterations / EPOCHS / cost))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = EPOCHS, iterations, 1
    seconds: list[float] = []
    step = trainer.train_step

    def timed(batch: dict[str, Any]) -> Any:
        started = time.thread_time()
        result = step(batch)
        seconds.append(time.thread_time() - started)
        return result

    trainer.train_step = timed
    trainer.run_training()
    trainer.inference_allowed_mirroring_axes = None  # eight times the time, for every method the same
    trainer.perform_actual_validation()
    summary = json.loads(Path(trainer.output_folder, "validation", "summary.json").read_text())
    log = trainer.logger.local_logger.my_fantastic_logging
    remembered = Path(trainer.output_folder, DISPLACEMENTS)
    table = workspace / "raw" / NOISY / TABLE_NAME
    return {
        "run": asdict(run),
        "iterations": len(seconds),
        "seconds": round(sum(seconds), 2),
        "dice": [round(case["metrics"]["1"]["Dice"], 5) for case in summary["metric_per_case"]],
        "last_epoch": {key: values[-1] for key, values in log.items() if values and isinstance(values[-1], float)},
        **({"displacement": displacement_by_noise(remembered, table)} if remembered.exists() else {}),
    }


def displacement_by_noise(remembered: Path, table: Path) -> dict[str, dict[str, float]]:
    """Kind of noise → mean and spread of what a training found to be the displacement of its cases, in voxels.

    Args:
        remembered: `case_displacement.json` of the training.
        table: `label_noise.csv` of its dataset.
    """
    cases = json.loads(remembered.read_text())["cases"]
    with table.open(newline="") as file:
        kinds = {row["case"]: row["kind"] or "none" for row in csv.DictReader(file)}
    found: dict[str, list[float]] = {}
    for case, each in cases.items():
        found.setdefault(kinds[case], []).append(each["displacement"][1])
    return {
        kind: {
            "cases": len(values),
            "mean": round(statistics.mean(values), 3),
            "spread": round(statistics.pstdev(values), 3),
        }
        for kind, values in sorted(found.items())
    }


def cost_of(run: Run, rows: Sequence[dict[str, Any]]) -> float | None:
    """Processor time of a method's mean iteration over plain nnU-Net's, from the trainings of equal epochs.

    None where one of the two is not stored yet.
    """
    each = {Run(**row["run"]): row["seconds"] / row["iterations"] for row in rows}
    own, plain = (replace(run, method=method, equal="epochs") for method in (run.method, "plain"))
    return each[own] / each[plain] if {own, plain} <= each.keys() else None


def results_table(rows: Sequence[dict[str, Any]], iterations: int = ITERATIONS) -> str:
    """Cost, mean Dice over the cases for every seed, and the difference to plain nnU-Net's of the same seed.

    Methods without a training of this length are left out.
    """
    dice = {Run(**row["run"]): row["dice"] for row in rows}
    lines = []
    for method in TRAINERS:
        if not any((each.method, each.iterations) == (method, iterations) for each in dice):
            continue
        costs = [cost for seed in SEEDS if (cost := cost_of(Run(method, "epochs", seed, iterations), rows)) is not None]
        line = [method, f"{statistics.mean(costs):.2f}" if costs else "-"]
        for equal in ("epochs", "time"):
            found, differences = [], []
            for seed in SEEDS:
                cases = dice.get(Run(method, "epochs" if method == "plain" else equal, seed, iterations))
                plain = dice.get(Run("plain", "epochs", seed, iterations))
                if cases is not None and plain is not None:
                    found.append(100 * statistics.mean(cases))
                    differences.append(found[-1] - 100 * statistics.mean(plain))
            line += [
                ", ".join(f"{value:.2f}" for value in found) or "-",
                ", ".join(f"{value:+.2f}" for value in differences) or "-",
            ]
        lines.append(line)
    return markdown(COLUMNS, lines)


def run(arguments: argparse.Namespace) -> None:
    if arguments.show:
        print(results_table(rows_of(RESULTS), arguments.iterations))
        return
    if arguments.workspace is None or arguments.source is None:
        raise UserError("expected --workspace and --source, or --show; give both")
    workspace = arguments.workspace.resolve()
    use_workspace(workspace)
    os.environ["nnUNet_n_proc_DA"] = "1"  # noqa: SIM112 -- nnU-Net's name; planning needs one
    prepare(workspace, arguments.source.resolve())
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112 -- batches are made in this process
    import torch

    torch.set_num_threads(1)
    for each in runs(arguments.methods, arguments.iterations):
        with claimed(workspace, "_".join(map(str, asdict(each).values()))) as mine:
            rows = rows_of(RESULTS)
            if not mine or each in [Run(**row["run"]) for row in rows]:
                continue
            cost = 1.0 if each.equal == "epochs" else cost_of(each, rows)
            if cost is None:
                print(f"{each}: its cost is being measured by another process; give the command again")
                continue
            result = train(each, workspace, cost)
            command = f"python -m benchmarks.other_methods --iterations {each.iterations} --methods {each.method}"
            result |= {"command": command, "machine": describe(torch.device("cpu"), 1)}
            add_row(RESULTS, result)
            print(each, f"{100 * statistics.mean(result['dice']):.2f}", flush=True)
    print(results_table(rows_of(RESULTS), arguments.iterations))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, metavar="W", help="folder for datasets and trainings (some GB)")
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="holds Dataset015_LeftAtrium")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="of plain nnU-Net. Default: %(default)s")
    parser.add_argument("--methods", nargs="+", choices=list(TRAINERS), default=list(TRAINERS), help="Default: all")
    parser.add_argument("--show", action="store_true", help="train nothing: the table of what is stored")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
