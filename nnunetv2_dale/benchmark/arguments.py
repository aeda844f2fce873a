"""The flags of `nnUNetv2_dale_benchmark`."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from nnunetv2_dale.benchmark.settings import ExecutorSettings
from nnunetv2_dale.commands.shared_flags import add_dataset, add_folds

DESCRIPTION = """Train and validate every fold of every trainer with nnU-Net's own commands, on this machine's GPUs or
on a cluster, and end with a report that compares them. The same command again continues where the last one stopped:
what is done is read from nnU-Net's own files."""


def benchmark_parser() -> argparse.ArgumentParser:
    """The command line of the benchmark."""
    parser = argparse.ArgumentParser("nnUNetv2_dale_benchmark", description=DESCRIPTION)
    _add_what(parser.add_argument_group("what to train"))
    _add_where(parser.add_argument_group("where to train (each also a key of the --settings file)"))
    parser.add_argument("--dry-run", action="store_true", help="print what is done, resumable and missing, and stop")
    parser.add_argument("--no-report", action="store_true", help="do not write the report at the end")
    parser.add_argument(
        "-o",
        type=Path,
        metavar="FOLDER",
        help="where reports go, one folder for each configuration; default: nnUNet_results/DATASET/benchmark/reports",
    )
    parser.add_argument(
        "--retries",
        type=int,
        default=3,
        metavar="N",
        help="how often in a row a run may be killed (walltime, preemption) without a new checkpoint; default: 3",
    )
    return parser


def executor_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """The flags that are fields of `ExecutorSettings`; None where not given."""
    return {field.name: getattr(arguments, field.name) for field in fields(ExecutorSettings)}


def _add_what(group: argparse._ArgumentGroup) -> None:
    add_dataset(group, "nnUNet_preprocessed")
    group.add_argument(
        "-c", nargs="+", required=True, metavar="CONFIGURATION", help="configurations, such as 2d 3d_fullres"
    )
    add_folds(group, default=["0", "1", "2", "3", "4"])
    group.add_argument(
        "-tr",
        nargs="+",
        default=["nnUNetTrainer", "nnUNetTrainerDALE"],
        metavar="TRAINER",
        help="trainers; the first one is the report's baseline. Default: nnUNetTrainer nnUNetTrainerDALE",
    )
    group.add_argument("-p", nargs="+", default=["nnUNetPlans"], metavar="PLANS", help="plans. Default: nnUNetPlans")
    group.add_argument(
        "-device", choices=("cuda", "cpu", "mps"), default="cuda", help="what to train on. Default: cuda"
    )
    group.add_argument("-num_gpus", type=int, default=1, metavar="N", help="GPUs of one training; default: 1")
    group.add_argument("--npz", action="store_true", help="save the validation's probabilities (for ensembles)")
    group.add_argument(
        "-pretrained_weights", type=Path, metavar="CHECKPOINT", help="checkpoint that every new training starts from"
    )


def _add_where(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--executor", metavar="NAME", help="where jobs run: local or slurm. Default: local, this machine")
    add("--settings", type=Path, metavar="FILE.toml", help="these flags' values in a file; flags win")
    add(
        "--parsl_config",
        "--parsl-config",
        type=Path,
        metavar="FILE.py",
        help="any other batch system: a Python file that defines config, a parsl.config.Config (docs/benchmark.md)",
    )
    add("--workers", type=int, metavar="N", help="trainings at once here: default 1 on the CPU, one for each GPU")
    add("--threads", type=int, metavar="N", help="CPU threads of one training; default: an equal share of the cores")
    add("--partition", "--queue", metavar="NAME", help="partition or queue")
    add("--account", metavar="NAME", help="account or project")
    add("--walltime", metavar="HH:MM:SS", help="longest time of a job; default: 24:00:00")
    add("--gpus", type=int, metavar="N", help="GPUs of one job; default: what one training needs")
    add("--cpus", type=int, metavar="N", help="CPU cores of one job")
    add("--memory", dest="memory_gb", type=int, metavar="GB", help="memory of one job (memory_gb in the file)")
    add("--max-jobs", type=int, metavar="N", help="jobs at once; default: one for each run")
    add("--preamble", metavar="SHELL", help="shell lines a job runs first, such as 'module load cuda'")
    add("--scheduler-options", metavar="LINES", help="further lines for the batch script, such as '#SBATCH --qos=long'")
    add("--address", metavar="IPV4", help="address of this machine that compute nodes reach; default: all are tried")
