"""`nnUNetv2_dale_benchmark`: every fold, every trainer, one resumable command, one report."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from nnunetv2_dale.benchmark.arguments import ExecutorSettings, benchmark_parser, executor_settings
from nnunetv2_dale.benchmark.job import Job, environment_of_workers
from nnunetv2_dale.benchmark.reports import compared_runs, report_arguments
from nnunetv2_dale.benchmark.runs import Run, added_runs, plan_runs, repeated_plans
from nnunetv2_dale.benchmark.schedule import Record, Schedule, Site, Status
from nnunetv2_dale.benchmark.table import dry_run_text, final_text, live_table, plain_lines
from nnunetv2_dale.commands.command_line import UserError, require_package, run_command
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.commands.lock import living_holder
from nnunetv2_dale.commands.process_identity import ProcessIdentity
from nnunetv2_dale.commands.stop_signals import ignore_stop_signals, stop_signals

if TYPE_CHECKING:
    from nnunetv2_dale.benchmark.inputs import Folders
    from nnunetv2_dale.benchmark.parsl_engine import ParslEngine

STOP_WITHIN_S = 30.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 only when every run is done and every report written."""
    return run_command(benchmark_parser(), _benchmark, argv)


def _benchmark(arguments: argparse.Namespace) -> int:
    settings = executor_settings(arguments)
    folders, runs = _checked_runs(arguments)
    if arguments.dry_run:
        print(dry_run_text(runs, folders.results, folders.preprocessed, arguments.npz))
        return 0
    require_package("the benchmark", "Parsl", "benchmark")
    me = ProcessIdentity.current()
    site = Site(folders.results, folders.preprocessed, arguments.npz, f"{me.host} {me.pid} {int(time.time())}")
    records, stopped_by = _train(arguments, settings, folders, runs, site)
    print(final_text(records, folders.results))
    if stopped_by is not None:
        print(f"stopped by {stopped_by.name}; the same command continues", file=sys.stderr)
        return 128 + stopped_by
    reports = 0 if arguments.no_report else _write_reports(arguments, folders, runs)
    return reports if all(record.status is Status.DONE for record in records) else 1


def _checked_runs(arguments: argparse.Namespace) -> tuple[Folders, list[Run]]:
    """Check everything that can be known to be wrong and list what there is to do."""
    from nnunetv2_dale.benchmark import inputs, splits  # import nnU-Net, which takes seconds

    if arguments.num_gpus < 1:
        raise UserError(f"-num_gpus has to be at least 1, got {arguments.num_gpus}")
    if arguments.num_gpus > 1 and arguments.device != "cuda":
        raise UserError(f"-num_gpus {arguments.num_gpus} needs -device cuda, got {arguments.device}")
    folders = inputs.find_dataset(arguments.d)
    previous_stage = inputs.check_plans(folders, arguments.p, arguments.c, arguments.num_gpus)
    split_folds = splits.check_folds(folders, arguments.f)
    splits.check_split_cases(folders, arguments.p, arguments.c)
    splits.check_split_patients(folders)
    if arguments.pretrained_weights is not None and not arguments.pretrained_weights.is_file():
        raise UserError(f"there are no pretrained weights {arguments.pretrained_weights}")
    if arguments.references is not None and not arguments.references.is_dir():
        raise UserError(f"there is no folder {arguments.references} of references; name one that holds the masks")
    inputs.check_trainers(arguments.tr)
    asked = (arguments.tr, arguments.p, arguments.c, arguments.f)
    trainers, plans, configurations, folds = (list(dict.fromkeys(names)) for names in asked)
    every = repeated_plans(plans, arguments.repeats)
    stages = {
        (own, configuration): first
        for (plan, configuration), first in previous_stage.items()
        for own in repeated_plans([plan], arguments.repeats)
    }
    runs = plan_runs(folders.dataset, trainers, every, configurations, folds, stages, split_folds)
    extra = added_runs(runs, configurations, folds)
    if extra:
        names = ", ".join(sorted({run.configuration for run in extra}))
        print(f"added {counted(len(extra), 'run')} of {names}: the cascade trains on the predictions of all its folds")
    return folders, runs


def _train(
    arguments: argparse.Namespace, settings: ExecutorSettings, folders: Folders, runs: list[Run], site: Site
) -> tuple[list[Record], signal.Signals | None]:
    """Bring every run to its end.

    Returns:
        the runs' records, and the signal that stopped the work before its end, if one did.
    """
    from nnunetv2_dale.benchmark import inputs, splits

    inputs.write_repeated_plans(folders, list(dict.fromkeys(arguments.p)), arguments.repeats)
    splits.make_split(folders, runs[0].plans, runs[0].configuration)
    splits.unpack_cases(folders, runs, processes=1)
    engine = _engine(arguments, settings, folders, len(runs), site)
    schedule = Schedule(runs, site, engine.submit, arguments.retries)
    display = (live_table if sys.stdout.isatty() else plain_lines)(folders.results, sys.stdout)
    stopped_by: signal.Signals | None = None
    with stop_signals() as received:
        try:
            with display as show:
                schedule.work(show)
        except KeyboardInterrupt:
            stopped_by = received[0] if received else signal.SIGINT
            print("stopping the trainings ...", file=sys.stderr)
        finally:
            ignore_stop_signals()
            engine.close()
            _wait_for_workers(runs, site)
    return schedule.records, stopped_by


def _engine(
    arguments: argparse.Namespace, settings: ExecutorSettings, folders: Folders, num_runs: int, site: Site
) -> ParslEngine:
    from nnunetv2_dale.benchmark import executors, inputs, parsl_engine

    executors.put_environment_on_path()
    device, num_gpus = arguments.device, arguments.num_gpus
    run_dir = executors.run_directory(folders.of_benchmark / "parsl", settings.executor)
    gpus_per_node: int | None = None
    if arguments.parsl_config is not None:
        config = executors.user_config(arguments.parsl_config, run_dir)
    else:
        local = settings.executor == "local"
        gpus = inputs.visible_gpus(device, num_gpus) if local else []
        if not local and device == "cuda":
            gpus_per_node = executors.gpus_per_job(settings, device, num_gpus)
        config = executors.parsl_config(settings, run_dir, device, num_gpus, gpus, num_runs)
    weights = arguments.pretrained_weights
    job = partial(
        Job,
        results=str(site.results),
        preprocessed=str(site.preprocessed),
        device=device,
        npz=site.npz,
        pretrained_weights=None if weights is None else str(weights.absolute()),
        num_gpus=num_gpus,
        threads=settings.threads,
        gpus_per_node=gpus_per_node,
        environment=environment_of_workers(os.environ),
        runner=site.runner,
        head=ProcessIdentity.current(),
    )
    return parsl_engine.ParslEngine(config, job)


def _write_reports(arguments: argparse.Namespace, folders: Folders, runs: list[Run]) -> int:
    """Write one report for each configuration that was asked for; returns the worst exit code."""
    from nnunetv2_dale.report.cli import main as report

    target = arguments.o or folders.of_benchmark / "reports"
    code = 0
    for configuration in dict.fromkeys(arguments.c):
        judges = [] if arguments.references is None else ["--references", str(arguments.references)]
        for compared, place in compared_runs(runs, configuration):
            flags = report_arguments(compared, place, folders.results, target)
            if flags is None:
                print(f"no report for {place}: it takes two trainers or plans with results, each repeated if one is")
                continue
            code = max(code, report([*flags, *judges]))
    return code


def _wait_for_workers(runs: Sequence[Run], site: Site) -> None:
    """Wait until no worker of this command holds a fold any more, so that the next command finds them free."""
    deadline = time.monotonic() + STOP_WITHIN_S
    while time.monotonic() < deadline:
        holders = [living_holder(run.folder(site.results)) for run in runs]
        if not any(holder is not None and holder.runner == site.runner for holder in holders):
            return
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
