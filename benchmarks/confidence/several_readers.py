"""Four readers of the same nodules: what they are worth as one reader, a vote, STAPLE, a confidence, or one per visit.

    python -m benchmarks.confidence.several_readers --data FOLDER -o OUT [--results FILE]

FOLDER holds `lidc_nodules`. Readers 0 to 2 teach: three have no ties. All arms are judged by what at least two of all
four readers drew, in patients that no training saw. Every step is a command that users have.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.confidence.stock_trainings import (
    PLAIN,
    TOLD,
    Runner,
    call,
    options,
    planned,
    result_folder,
    train_command,
)
from benchmarks.machine import describe
from benchmarks.trainings import Row, add_row, rows_of, use_workspace
from nnunetv2_dale.commands.command_line import run_command

RESULTS = Path(__file__).resolve().parents[1] / "results" / "several_readers.jsonl"
NAME, TEACHING = "LIDC", ("rater0", "rater1", "rater2")
JUDGE, FIRST = 700, 710  # ids of the dataset whose labels judge, and of the first reader's
IDS = {"one reader": 720, "majority": 721, "staple": 722, "random": 723}
ARMS = (("one reader", PLAIN), ("majority", PLAIN), ("majority", TOLD), ("staple", PLAIN), ("random", TOLD))


def prepare(labels: str, source: Path, output: Path, run: Runner) -> None:
    """Make the dataset whose labels judge, those of the readers, and the one that these labels teach."""
    raw = output / "raw"
    for number, target in ((JUDGE, "consensus"), *enumerate(TEACHING, FIRST)):
        _convert(number, target, source, raw, run)
    dataset = f"Dataset{IDS[labels]}_{NAME}"
    if labels == "one reader":
        _convert(IDS[labels], "random", source, raw, run)
    elif not (raw / dataset).exists():
        folders = [raw / f"Dataset{number}_{NAME}" / "labelsTr" for number, _ in enumerate(TEACHING, FIRST)]
        readers = [output / "readers" / reader for reader in TEACHING]
        for folder, reader in zip(folders, readers, strict=True):
            if not reader.exists():  # a reader is called after the folder
                shutil.copytree(folder, reader)
        words = ["-d", str(FIRST), "--new_id", str(IDS[labels]), "--target", labels, "-np", "1"]
        run(["nnUNetv2_dale_confidence", "raters", "-i", *map(str, readers), *words])
    planned(dataset, output, run)


def _convert(number: int, target: str, source: Path, raw: Path, run: Runner) -> None:
    if not (raw / f"Dataset{number}_{NAME}").exists():
        words = ["--new_id", str(number), "--name", NAME, "--target", target, "-np", "1"]
        run(["nnUNetv2_dale_convert", "lidc", "-i", str(source / "lidc_nodules"), *words])


def train(labels: str, trainer: str, length: str, output: Path, run: Runner) -> Row:
    """One training and its validation; Dice in percent, over all cases of the fold."""
    dataset = f"Dataset{IDS[labels]}_{NAME}"
    command = train_command(dataset, trainer + length)
    run(command)
    folder = result_folder(dataset, trainer + length, output) / "fold_0" / "validation"
    judged = folder.parent / "judged.json"
    references = output / "raw" / f"Dataset{JUDGE}_{NAME}" / "labelsTr"
    run(["nnUNetv2_evaluate_simple", str(references), str(folder), "-l", "1", "-o", str(judged), "--chill", "-np", "1"])
    found = json.loads(judged.read_text())
    mean, cases = found["mean"]["1"]["Dice"], len(found["metric_per_case"])
    row: Row = {"labels": labels, "trainer": trainer, "length": length, "dice": 100 * mean, "cases": cases}
    return row | {"command": shlex.join(command), "machine": describe(torch.device("cpu"), 1)}


def run(arguments: argparse.Namespace) -> int:
    output: Path = arguments.o.resolve()
    use_workspace(output)
    for labels, trainer in ARMS:
        of = {"labels": labels, "trainer": trainer, "length": arguments.length}
        if not any(of.items() <= row.items() for row in rows_of(arguments.results)):
            prepare(labels, arguments.data.resolve(), output, call)
            add_row(arguments.results, train(labels, trainer, arguments.length, output, call))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = options("several_readers", __doc__, RESULTS)
    parser.add_argument("--length", default="_10epochs", help="end of the trainers' names. Default: %(default)s")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
