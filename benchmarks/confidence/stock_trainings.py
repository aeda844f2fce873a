"""What the studies of this folder share: commands that users have, plans for a small network, their flags."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import command_environment
from benchmarks.organs.study import PLANNED, plan_command, plans_name, read_study
from benchmarks.plans_file import smaller_plans
from nnunetv2_dale.nnunet_files.atomic_output import new_file
from nnunetv2_dale.nnunet_files.confidence_table import has_confidence

STUDY = read_study(Path(__file__).resolve().parents[1] / "organs" / "study.toml")
PLAIN, TOLD = "nnUNetTrainer", "nnUNetTrainerConfidence"

Runner = Callable[[Sequence[str]], None]


def planned(dataset: str, output: Path, run: Runner, plans: Mapping[str, Any] = STUDY.plans["2d"]) -> None:
    """Plan and preprocess a raw dataset for a small network, and its confidence where it has any.

    Args:
        plans: what of nnU-Net's own is replaced, with the `features` of the network.
    """
    preprocessed = output / "preprocessed" / dataset
    edited = preprocessed / f"{plans_name('2d')}.json"
    if not edited.exists():
        run(plan_command(dataset, "2d"))
        of_nnunet = json.loads((preprocessed / f"{PLANNED}.json").read_text())
        with new_file(edited) as unfinished:
            unfinished.write_text(json.dumps(smaller_plans(of_nnunet, "2d", name=plans_name("2d"), **plans)))
    if has_confidence(output / "raw" / dataset) and not list(preprocessed.glob("*_confidence")):
        number = ["-d", str(int(dataset[7:10]))]
        run(["nnUNetv2_dale_confidence", "check", *number])
        run(["nnUNetv2_dale_confidence", "preprocess", *number, "-c", "2d", "-p", plans_name("2d"), "-np", "1"])


def train_command(dataset: str, trainer: str) -> list[str]:
    """The command that trains and validates fold 0."""
    words = ["-d", str(int(dataset[7:10])), "-c", "2d", "-p", plans_name("2d"), "-f", "0", "-tr", trainer]
    return ["nnUNetv2_dale_benchmark", *words, "-device", "cpu", "--threads", "1", "--no_report"]


def result_folder(dataset: str, trainer: str, output: Path) -> Path:
    """Where that command leaves it."""
    return output / "results" / dataset / f"{trainer}__{plans_name('2d')}__2d"


def call(command: Sequence[str]) -> None:
    """Run a command of this environment to its end, or raise."""
    print(shlex.join(command), flush=True)
    subprocess.run(command, check=True, env=command_environment())


def options(name: str, description: str | None, results: Path) -> argparse.ArgumentParser:
    """The flags that the drivers of this folder share."""
    parser = argparse.ArgumentParser(
        f"python -m benchmarks.confidence.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="holds the data; is only read")
    parser.add_argument("-o", type=Path, required=True, metavar="OUT", help="datasets and trainings")
    parser.add_argument("--results", type=Path, default=results, help="JSON lines. Default: the stored ones")
    return parser
