"""The accuracy study: one command per table. See docs/evidence/dale.md for what came out.

    python -m benchmarks.accuracy.study prepare --workspace W --source FOLDER     datasets and plans
    python -m benchmarks.accuracy.study costs --workspace W                       what an iteration of each arm costs
    python -m benchmarks.accuracy.study run TABLE --workspace W                   the trainings of a table

Trainings run one at a time on one thread. The same command again continues: what is stored is not run again, and
several commands may work on one table at once.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.results_file import write_results
from benchmarks.trainings import add_row, claimed, rows_of, use_workspace

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "accuracy"
COSTS = RESULTS / "dale_costs.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "costs", "run"])
    parser.add_argument("table", nargs="?", help="of run: a name of study_plan.py")
    parser.add_argument("--workspace", type=Path, help="folder for datasets and batches (some GB)")
    parser.add_argument("--source", type=Path, help="of prepare: holds Dataset004_Hippocampus and lidc_nodules")
    parser.add_argument("--data", nargs="*", default=[], help="of prepare: names of study_data.py; default all")
    arguments = parser.parse_args()
    if arguments.workspace is None:
        parser.error("--workspace is needed")
    workspace = arguments.workspace.resolve()
    use_workspace(workspace)
    if arguments.what == "prepare":
        from benchmarks.accuracy.study_data import prepare

        prepare(workspace, arguments.source.resolve(), arguments.data)
        return
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112 -- nnU-Net's name; batches are made in this process
    if arguments.what == "costs":
        _add_costs(COSTS, workspace)
    else:
        _run_table(arguments.table, workspace)


def _run_table(table: str, workspace: Path) -> None:
    import torch

    from benchmarks.accuracy.study_plan import TABLES
    from benchmarks.accuracy.study_training import train
    from benchmarks.machine import describe

    torch.set_num_threads(1)
    if table not in TABLES:
        raise SystemExit(f"expected a table of {', '.join(TABLES)}, got {table}")
    costs = json.loads(COSTS.read_text())["costs"] if COSTS.exists() else {"2d": {}, "3d": {}}
    for run in TABLES[table]:
        with claimed(workspace, run.key) as mine:
            file = RESULTS / f"{table}.jsonl"
            if not mine or run.key in {"/".join(map(str, row["run"].values())) for row in rows_of(file)}:
                continue
            dimension = "3d" if run.configuration.startswith("3d") else "2d"
            if run.equal == "time" and run.arm not in costs[dimension]:
                raise SystemExit(f"the cost of {run.arm} in {dimension} is not measured yet: run study.py costs first")
            result = train(run, workspace, costs[dimension].get(run.arm, {}).get("training", math.nan))
            result["command"] = f"python -m benchmarks.accuracy.study run {table}"
            result["machine"] = describe(torch.device("cpu"), 1)
            add_row(file, result)
            print(table, run.key, result["iterations"], result["curve"][-1], flush=True)


def _add_costs(file: Path, workspace: Path) -> None:
    """Processor time of each arm's batches over plain nnU-Net's: medians of interleaved repetitions.

    Of DALE's arms a batch of each kind is measured, and the mean batch of a training follows from its phases. Arms that
    the file has already are not measured again.
    """
    import torch

    from benchmarks.accuracy.arms import ARMS
    from benchmarks.machine import describe

    torch.set_num_threads(1)
    stored = json.loads(file.read_text()) if file.exists() else {"costs": {"2d": {}, "3d": {}}}
    stored |= {"command": "python -m benchmarks.accuracy.study costs", "machine": describe(torch.device("cpu"), 1)}
    for configuration, repetitions in (("2d", 15), ("3d_fullres", 3)):
        known = stored["costs"][configuration[:2]]
        seconds: dict[tuple[str, str], list[float]] = {}
        ready = dict(_ready(workspace, configuration, ["plain", *(name for name in ARMS if name not in known)]))
        for repetition in range(repetitions + 1):
            for name, (trainer, batches, version) in ready.items():
                for kind in _kinds(trainer):
                    batch = batches.batch(repetition, version)
                    started = time.thread_time()
                    trainer.train_step(batch)
                    if repetition:  # the first warms up
                        seconds.setdefault((name, kind), []).append(time.thread_time() - started)
        plain = statistics.median(seconds["plain", "whole"])
        for name, (trainer, _, _) in ready.items():
            cost = {kind: statistics.median(seconds[name, kind]) / plain for kind in _kinds(trainer)}
            config = getattr(trainer, "dale", None)
            share = 0.0 if config is None else (1 - config.phase_in - config.phase_out) / config.every
            cost["training"] = cost["whole"] + share * (cost.get("Algorithm 1", cost["whole"]) - cost["whole"])
            known[name] = {kind: round(value, 3) for kind, value in cost.items()}
        write_results(file, stored)


def _kinds(trainer: Any) -> Iterator[str]:
    """The kinds of batches that a trainer takes, made to be what its next batch is."""
    step = getattr(trainer, "dale_step", None)
    if step is not None:
        step.phases.takes = lambda batch: True
        yield "Algorithm 1"
        step.phases.takes = lambda batch: False
    yield "whole"


def _ready(workspace: Path, configuration: str, arms: Sequence[str]) -> Iterator[tuple[str, tuple[Any, Any, str]]]:
    """A trainer of every arm at the start of its training."""
    from benchmarks.accuracy.arms import ARMS
    from benchmarks.accuracy.study_data import DISPLACED, folder_of
    from benchmarks.accuracy.study_training import Run, make_trainer, stored_batches

    version = folder_of(workspace, DISPLACED, "dilated").name
    for name in arms:
        run = Run(DISPLACED.name, "dilated", configuration, 2, name, 1)
        trainer = make_trainer(run, workspace, ARMS[name])
        trainer.initialize()
        trainer.on_train_start()
        trainer.on_train_epoch_start()
        yield name, (trainer, stored_batches(run, workspace), version)


if __name__ == "__main__":
    main()
