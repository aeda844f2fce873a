"""Several datasets, label sets and trainers, one after the other, with the commands that users have.

    python -m benchmarks.organs benchmarks/organs/study.toml --data FOLDER -o OUT

FOLDER holds the datasets that the file names. The same command again goes on where the last one stopped. Each
comparison ends in `OUT/results/NAME.json`: its numbers, the plans, the noise, and the benchmark's command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import call, describe, shown
from benchmarks.organs.prepare import prepare
from benchmarks.organs.results import result_of
from benchmarks.organs.study import Comparison, Study, benchmark_command, comparisons, read_study
from benchmarks.results_file import write_results
from nnunetv2_dale.commands.command_line import UserError, run_command


def go_through(study: Study, source: Path, output: Path) -> list[str]:
    """Make every comparison that is not stored; returns the names of those that failed, which stop no other."""
    failed = []
    for each in comparisons(study):
        target = output / "results" / f"{each.name}.json"
        if target.exists():
            _check_trainers(each, target)
            continue
        try:
            prepare(study, each, source, output, call)
            command = benchmark_command(study, each, output / "raw", output / "reports")
            call(command)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{each.name} failed: {error}", file=sys.stderr, flush=True)
            failed.append(each.name)
            continue
        _store(study, each, output, target, command)
    return failed


def _check_trainers(each: Comparison, target: Path) -> None:
    stored = {row["trainer"] for row in json.loads(target.read_text())["trainers"]}
    if not stored >= set(each.step.trainers):
        raise UserError(f"{target} is of other trainers than the study's; move it away, and it is made again")


def _store(study: Study, each: Comparison, output: Path, target: Path, command: Sequence[str]) -> None:
    files = sorted((output / "reports" / each.name).glob("*/report.json"))  # repeated: one for each candidate
    reports = [json.loads(file.read_text()) for file in files]
    result: dict[str, Any] = result_of(study, each, reports, output / "raw")
    result |= {"command": shown(command), "machine": describe(torch.device("cpu"), 1)}
    write_results(target, result, overwrite=False)


def run(arguments: argparse.Namespace) -> int:
    study, output = read_study(arguments.study), arguments.o.resolve()
    for name in ("raw", "preprocessed", "results"):
        folder = output / ("trainings" if name == "results" else name)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(folder)
    return 1 if go_through(study, arguments.data.resolve(), output) else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.organs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, metavar="STUDY.toml")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="holds the datasets; is only read")
    parser.add_argument("-o", type=Path, required=True, metavar="OUT", help="datasets, trainings, reports, results")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
