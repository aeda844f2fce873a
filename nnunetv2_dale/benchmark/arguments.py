"""The flags of `nnUNetv2_dale_benchmark`."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, fields
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.command_parser import CommandParser, add_old_spelling
from nnunetv2_dale.commands.shared_flags import add_dataset, add_device, add_folds, add_output, add_plans, at_least_one

EXECUTORS = ("local", "slurm")
DESCRIPTION = """Train and validate every fold of every trainer with nnU-Net's own commands, on this machine's GPUs or
on a cluster, and end with a report that compares them. The same command again continues where the last one stopped:
what is done is read from nnU-Net's own files."""


@dataclass(frozen=True)
class ExecutorSettings:
    """What is asked of the machine or the batch system. Every field is a flag, which says what it means."""

    executor: str = "local"
    workers: int | None = None
    threads: int | None = None
    partition: str | None = None
    account: str | None = None
    walltime: str = "24:00:00"
    gpus: int | None = None
    cpus: int | None = None
    memory_gb: int | None = None
    max_jobs: int | None = None
    preamble: str = ""
    scheduler_options: str = ""
    address: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise UserError(
                f"executor has to be one of {', '.join(EXECUTORS)}, got {self.executor!r}; for another batch system "
                "give a file to --parsl_config (docs/benchmark.md has examples)"
            )
        for name in ("workers", "threads", "cpus", "memory_gb", "max_jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} has to be at least 1, got {value}")
        if self.gpus is not None and self.gpus < 0:
            raise UserError(f"gpus cannot be negative, got {self.gpus}")
        if not re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", self.walltime):
            raise UserError(f"walltime has to be HH:MM:SS, such as 24:00:00, got {self.walltime!r}")


def benchmark_parser() -> CommandParser:
    """Build the command line of the benchmark."""
    parser = CommandParser("nnUNetv2_dale_benchmark", description=DESCRIPTION)
    add = parser.add_argument
    _add_what(parser.add_argument_group("what to train"))
    _add_where(parser.add_argument_group("where to train"))
    add("--dry_run", action="store_true", help="Print what is done, resumable and missing, and stop")
    add("--no_report", action="store_true", help="Do not write the report at the end")
    reports = "Folder for the reports, one in it for each configuration. "
    reports += "Default: nnUNet_results/DATASET/benchmark/reports"
    add_output(parser, reports, required=False)
    judges = "Folder with the masks that judge in the report, such as labelsTr_clean. Default: those of the validation"
    add("--references", type=Path, metavar="FOLDER", help=judges)
    retries = "How often in a row a run may be killed (walltime, preemption) without a new checkpoint"
    add("--retries", type=int, default=3, metavar="N", help=retries)
    return parser


def executor_settings(arguments: argparse.Namespace) -> ExecutorSettings:
    """Return the flags that are fields of `ExecutorSettings`.

    Raises:
        UserError: a value out of range.
    """
    given = {field.name: getattr(arguments, field.name) for field in fields(ExecutorSettings)}
    return ExecutorSettings(**{name: value for name, value in given.items() if value is not None})


def _add_what(group: argparse._ArgumentGroup) -> None:
    add_dataset(group, "nnUNet_preprocessed")
    group.add_argument(
        "-c", nargs="+", required=True, metavar="CONFIGURATION", help="Configurations, such as 2d 3d_fullres"
    )
    add_folds(group, default=["0", "1", "2", "3", "4"])
    trainers, both = "Trainers; the first one is the report's baseline", ["nnUNetTrainer", "nnUNetTrainerDALE"]
    group.add_argument("-tr", nargs="+", default=both, metavar="TRAINER", help=trainers)
    add_plans(group, nargs="+", default=["nnUNetPlans"], help="Plans identifiers")
    repeats = (
        "Trainings of each trainer and fold, each with a seed of its own. From 2 on the report compares trainers; 3 is "
    )
    repeats += "a good number"
    group.add_argument("--repeats", type=at_least_one, default=1, metavar="N", help=repeats)
    add_device(group, default="cuda")
    group.add_argument("-num_gpus", type=int, default=1, metavar="N", help="Number of GPUs to use for one training")
    group.add_argument("--npz", action="store_true", help="Save the validation's probabilities (for ensembles)")
    group.add_argument(
        "-pretrained_weights", type=Path, metavar="CHECKPOINT", help="Checkpoint that every new training starts from"
    )


def _add_where(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--executor", metavar="NAME", help="Where jobs run: local or slurm. Default: local, this machine")
    add(
        "--parsl_config",
        type=Path,
        metavar="FILE.py",
        help="Any other batch system: a Python file that defines config, a parsl.config.Config (docs/benchmark.md)",
    )
    add("--workers", type=int, metavar="N", help="Trainings at once here. Default: 1 on the CPU, one for each GPU")
    add("--threads", type=int, metavar="N", help="CPU threads of one training. Default: an equal share of the cores")
    add_old_spelling(group, add("--partition", metavar="NAME", help="Partition or queue"), "--queue")
    add("--account", metavar="NAME", help="Account or project")
    add("--walltime", metavar="HH:MM:SS", help="Longest time of a job. Default: 24:00:00")
    add("--gpus", type=int, metavar="N", help="GPUs of one job. Default: what one training needs")
    add("--cpus", type=int, metavar="N", help="CPU cores of one job")
    add_old_spelling(group, add("--memory_gb", type=int, metavar="GB", help="Memory of one job"), "--memory")
    add("--max_jobs", type=int, metavar="N", help="Jobs at once. Default: one for each run")
    add("--preamble", metavar="SHELL", help="Shell lines a job runs first, such as 'module load cuda'")
    add("--scheduler_options", metavar="LINES", help="Further lines for the batch script, such as '#SBATCH --qos=long'")
    add("--address", metavar="IPV4", help="Address of this machine that compute nodes reach. Default: all are tried")
