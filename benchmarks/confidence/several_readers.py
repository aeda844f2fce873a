"""Four readers of the same nodules: what they are worth as one reader, a vote, STAPLE, a confidence, or one per visit.

    python -m benchmarks.confidence.several_readers --data FOLDER -o OUT [--results FILE]

FOLDER holds `lidc_nodules`. Readers 0 to 2 teach: three have no ties. All arms are judged by what at least two of all
four readers drew, in patients that no training saw. Every step is a command that users have.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.confidence.stock_trainings import (
    PLAIN,
    TOLD,
    judged,
    options,
    planned,
    result_folder,
    store_missing,
    train_command,
)
from benchmarks.organs.prepare import Runner
from benchmarks.trainings import Row
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


def train(labels: str, trainer: str, output: Path, run: Runner) -> tuple[str, Row]:
    """One training and its validation; Dice in percent, over all cases of the fold."""
    dataset = f"Dataset{IDS[labels]}_{NAME}"
    run(train_command(dataset, trainer))
    folder = result_folder(dataset, trainer) / "fold_0" / "validation"
    (dice,), cases = judged(folder, output / "raw" / f"Dataset{JUDGE}_{NAME}" / "labelsTr", [1], run)
    return dataset, {"dice": dice, "cases": cases}


def run(arguments: argparse.Namespace) -> int:
    store_missing(arguments, ARMS, prepare, train, dict.fromkeys(IDS, arguments.length))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(options("several_readers", __doc__, RESULTS, "_10epochs"), run, argv)


if __name__ == "__main__":
    sys.exit(main())
