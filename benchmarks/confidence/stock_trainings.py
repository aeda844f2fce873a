"""What the studies of this folder share: commands that users have, plans for a small network, their flags."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import call, describe
from benchmarks.organs.prepare import Runner, plan_smaller
from benchmarks.organs.study import plans_name, read_study
from benchmarks.trainings import Row, add_row, rows_of, use_workspace
from nnunetv2_dale.nnunet_files.confidence_table import has_confidence

STUDY = read_study(Path(__file__).resolve().parents[1] / "organs" / "study.toml")
PLAIN, TOLD = "nnUNetTrainer", "nnUNetTrainerConfidence"


def planned(dataset: str, output: Path, run: Runner, plans: Mapping[str, Any] = STUDY.plans["2d"]) -> None:
    """Plan and preprocess a raw dataset, with its confidence if any, for a network with the plans' `features`."""
    preprocessed = output / "preprocessed" / dataset
    plan_smaller(preprocessed, "2d", plans, run)
    if has_confidence(output / "raw" / dataset) and not list(preprocessed.glob("*_confidence")):
        number = ["-d", str(int(dataset[7:10]))]
        run(["nnUNetv2_dale_confidence", "check", *number])
        run(["nnUNetv2_dale_confidence", "preprocess", *number, "-c", "2d", "-p", plans_name("2d"), "-np", "1"])


def train_command(dataset: str, trainer: str, *folds: str) -> list[str]:
    """The command that trains and validates folds, without a name fold 0."""
    words = ["-d", str(int(dataset[7:10])), "-c", "2d", "-p", plans_name("2d"), "-f", *(folds or ("0",))]
    words += ["-tr", trainer, "-device", "cpu", "--threads", "1", "--no_report"]
    return ["nnUNetv2_dale_benchmark", *words]


def result_folder(dataset: str, trainer: str) -> Path:
    """Where that command leaves it."""
    results = Path(os.environ["nnUNet_results"])  # noqa: SIM112 -- nnU-Net's name
    return results / dataset / f"{trainer}__{plans_name('2d')}__2d"


def store_missing(
    arguments: argparse.Namespace,
    arms: Sequence[tuple[str, str]],
    prepare: Callable[[str, Path, Path, Runner], None],
    train: Callable[[str, str, Path, Runner], tuple[str, Row]],
    lengths: Mapping[str, str],
) -> None:
    """Make the trainings without a stored row, one after the other; a row is stored after each.

    Each training of `--training` has results of its own, and the datasets of the first.

    Args:
        arms: name of the labels, and trainer.
        prepare: makes the dataset of these labels, given the folder of data, the folder to work in and a runner.
        train: dataset of these labels, and what was found; given labels, trainer, the folder to work in and a runner.
        lengths: labels → end of the trainers' names.
    """
    output: Path = arguments.o.resolve()
    use_workspace(output)
    if arguments.training > 1:
        os.environ["nnUNet_results"] = str(output / f"results_{arguments.training}")  # noqa: SIM112
    for labels, trainer in arms:
        length = lengths[labels]
        of = {"labels": labels, "trainer": trainer, "length": length, "training": arguments.training}
        if not any(of.items() <= row.items() for row in rows_of(arguments.results)):
            prepare(labels, arguments.data.resolve(), output, call)
            dataset, found = train(labels, trainer + length, output, call)
            command = shlex.join(train_command(dataset, trainer + length))
            add_row(arguments.results, {**of, **found, "command": command, "machine": describe(torch.device("cpu"), 1)})


def of_arms(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Labels and trainer → the rows of its trainings."""
    arms: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        arms.setdefault((row["labels"], row["trainer"]), []).append(row)
    return arms


def judged(folder: Path, references: Path, classes: Sequence[int], run: Runner) -> tuple[list[float], int]:
    """Dice of each class in percent, its mean over the cases of a folder of predictions, and their number."""
    file = folder.parent / f"judged_{folder.name}.json"
    words = ["-l", *map(str, classes), "-o", str(file), "--chill", "-np", "1"]
    run(["nnUNetv2_evaluate_simple", str(references), str(folder), *words])
    found = json.loads(file.read_text())
    return [100 * found["mean"][str(each)]["Dice"] for each in classes], len(found["metric_per_case"])


def options(name: str, description: str | None, results: Path, length: str | None = None) -> argparse.ArgumentParser:
    """The flags that the drivers of this folder share; with a default, also the length of the trainings."""
    parser = argparse.ArgumentParser(
        f"python -m benchmarks.confidence.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="holds the data; is only read")
    parser.add_argument("-o", type=Path, required=True, metavar="OUT", help="datasets and trainings")
    parser.add_argument("--results", type=Path, default=results, help="JSON lines. Default: the stored ones")
    parser.add_argument("--training", type=int, default=1, metavar="N", help="its number; each starts anew. Default: 1")
    if length is not None:
        parser.add_argument("--length", default=length, help="end of the trainers' names. Default: %(default)s")
    return parser
