"""Does DALE find more wrong labels where a few cases were checked? AUROC of its learned confidence over a training.

    python -m benchmarks.confidence.checked_cases --workspace W --source FOLDER [--results FILE]

FOLDER holds Dataset004_Hippocampus. 45 % of the labels are wrong. Of 0, 5 or 20 training cases somebody has checked the
label: they have the clean one, and the labels of all others a confidence below 1. Measured is always on the cases that
are checked in no training. Trainings are those of the accuracy study, with its stored batches.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.accuracy.arms import ARMS
from benchmarks.accuracy.checked_batches import CheckedCases
from benchmarks.accuracy.study_data import CHECKED, prepare
from benchmarks.accuracy.study_training import Run, make_trainer, train
from benchmarks.machine import describe
from benchmarks.trainings import Row, add_row, rows_of, use_workspace
from nnunetv2_dale.commands.command_line import run_command

RESULTS = Path(__file__).resolve().parents[1] / "results" / "checked_cases.jsonl"
FOLD = 2
MOST = 20
# checked cases, and the confidence of the others
KNOWN = ((0, 1.0), (20, 0.5), (5, 0.5), (20, 0.1))
LABELS = ("dilated", "mixed")


def measured(labels: str, count: int, confidence: float, batches: int, workspace: Path) -> Row:
    """One training, and how well it finds wrong labels at four points of it."""
    run = Run(CHECKED.name, labels, "2d", FOLD, "DALE", batches)
    training, _ = make_trainer(run, workspace, ARMS[run.arm]).do_split()
    checked = CheckedCases.drawn(training, count, min(MOST, len(training) - 1), confidence)
    found = train(run, workspace, math.nan, checked)
    return {"found": found["confidence"], "curve": found["curve"], "seconds": found["seconds"]}


def run(arguments: argparse.Namespace) -> int:
    workspace: Path = arguments.workspace.resolve()
    use_workspace(workspace)
    torch.set_num_threads(1)
    prepare(workspace, arguments.source.resolve(), [CHECKED.name])
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112 -- nnU-Net's name; batches are made in this process
    for count, confidence in KNOWN:
        for labels in LABELS:
            of = {"labels": labels, "checked": count, "confidence": confidence, "batches": arguments.batches}
            if any(of.items() <= row.items() for row in rows_of(arguments.results)):
                continue
            row = {**of, **measured(labels, count, confidence, arguments.batches, workspace)}
            command = "python -m benchmarks.confidence.checked_cases"
            add_row(arguments.results, {**row, "command": command, "machine": describe(torch.device("cpu"), 1)})
            print(of, row["found"][-1], flush=True)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.confidence.checked_cases",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--workspace", type=Path, required=True, metavar="W", help="datasets and batches")
    add("--source", type=Path, required=True, metavar="FOLDER", help="holds the data; is only read")
    add("--batches", type=int, default=2000, help="of a training. Default: %(default)s")
    add("--results", type=Path, default=RESULTS, help="JSON lines. Default: the stored ones")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
