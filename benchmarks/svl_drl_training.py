"""Does SVL-DRL's policy learn in a training, and does it help? Hippocampus in 2D, half of the training labels dilated.

    python -m benchmarks.svl_drl_training --workspace W --source FOLDER     data, then every training that is not stored
    python -m benchmarks.svl_drl_training --figure                          docs/evidence/svl_drl_curves.png

FOLDER holds Dataset004_Hippocampus. The cases of fold 0 keep their own labels and judge. Data, plans and trainings are
made by the commands that a user gives, on one thread, with smaller networks in the plans; the settings of an arm stand
there too. Every training adds a line to results/svl_drl.jsonl. The same command again goes on.
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.machine import command_environment
from benchmarks.plans_file import PLANNED, plan_command, smaller_plans
from benchmarks.table import markdown
from benchmarks.trainings import add_missing, rows_of, use_workspace
from nnunetv2_dale.commands.command_line import UserError, run_command
from nnunetv2_dale.nnunet_files.json_files import read_json, write_json

RESULTS = Path(__file__).resolve().parent / "results" / "svl_drl.jsonl"
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "evidence" / "svl_drl_curves.png"
SOURCE, NOISY = "Dataset004_Hippocampus", "Dataset904_Hippocampus"
FEATURES, BATCH = [8, 16, 32, 64], 12  # of the network, and slices: minutes on a CPU
TRAINER = "nnUNetTrainerSVLDRL"
ARMS: dict[str, tuple[str, dict[str, Any]]] = {  # trainer, and settings in the plans
    "plain": ("nnUNetTrainer", {}),
    "SVL-DRL": (TRAINER, {}),
    "uniform actions": (f"{TRAINER}_uniformActions", {}),
    "shares of the reward": (TRAINER, {"reward": "share", "discount": 0.95}),
    "volume's reward": (TRAINER, {"reward": "volume"}),
    "edited images count": (TRAINER, {"edited_weight": 1.0}),
    "uniform, edited count": (f"{TRAINER}_uniformActions", {"edited_weight": 1.0}),
}
SEEDS = (0, 1)


@dataclass(frozen=True)
class Run:
    """One training."""

    arm: str
    seed: int
    epochs: int
    iterations: int = 250  # of an epoch

    @property
    def name(self) -> str:
        """For files and folders."""
        whole = f"{self.arm}_{self.seed}_{self.epochs}_{self.iterations}"
        return whole.replace(" ", "_").replace("'", "").replace(",", "")


def prepare(workspace: Path, source: Path) -> None:
    """Make the noisy copy, its plans and its preprocessed cases; what is there already stays."""
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    raw, made = workspace / "raw", workspace / "preprocessed" / NOISY
    if not (raw / SOURCE).exists():
        shutil.copytree(source / SOURCE, raw / SOURCE)
    splits = workspace / "splits_final.json"
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (raw / SOURCE / "labelsTr").glob("*.nii.gz"))
    write_json(splits, generate_crossval_split(cases, seed=12345, n_splits=5))
    environment = command_environment() | {"nnUNet_n_proc_DA": "1"}  # planning needs one
    if not (raw / NOISY).exists():
        noise = ["--kind", "dilate", "--amount", "2", "--fraction", "0.5", "--seed", "1"]
        command = ["nnUNetv2_dale_corrupt_labels", "-d", "4", "--new_id", "904", *noise]
        subprocess.run([*command, "--splits", str(splits), "--fold", "0", "-np", "1"], check=True, env=environment)
    if not (made / f"{PLANNED}.json").exists():
        subprocess.run(plan_command(904, "2d"), check=True, env=environment)
    shutil.copy(splits, made / "splits_final.json")


def write_plans(run: Run, folder: Path) -> str:
    """nnU-Net's plans with a smaller network and batch and an arm's settings, edited as a user edits; their name."""
    planned, name = read_json(folder / f"{PLANNED}.json"), f"small_{run.name}"
    plans = smaller_plans(planned, "2d", FEATURES, name, batch_size=BATCH, svl_drl=ARMS[run.arm][1])
    write_json(folder / f"{name}.json", plans)
    return name


def train(run: Run, workspace: Path) -> dict[str, Any]:
    """Train and validate with nnU-Net's command: the Dice of every case of fold 0, and the log of the epochs."""
    plans = write_plans(run, workspace / "preprocessed" / NOISY)
    trainer = f"{ARMS[run.arm][0]}_{run.epochs}epochs"
    results = workspace / "results" / run.name
    arguments = ["904", "2d", "0", "-tr", trainer, "-p", plans, "-device", "cpu"]
    folder = results / NOISY / f"{trainer}__{plans}__2d" / "fold_0"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (workspace / f"{run.name}.txt").open("a") as text:
        given = [str(run.iterations), str(run.seed), *arguments]
        resumed = any(folder.glob("checkpoint_[lf]*.pth"))  # the latest or the final one
        given += ["--c"] if resumed else []
        subprocess.run(
            [sys.executable, "-m", "benchmarks.svl_drl_training", "--seeded", *given],
            check=True,
            env=command_environment() | {"nnUNet_results": str(results), "nnUNet_n_proc_DA": "0"},
            stdout=text,
            stderr=text,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cases = read_json(folder / "validation" / "summary.json")["metric_per_case"]
    return {
        "run": asdict(run),
        "training": " ".join(["nnUNetv2_train", *arguments]),
        "dice": [round(statistics.mean(each["Dice"] for each in case["metrics"].values()), 5) for case in cases],
        "processor_seconds": None if resumed else _processor_seconds(before, after),
        "log": log_of(folder / "checkpoint_final.pth"),
    }


def _processor_seconds(before: resource.struct_rusage, after: resource.struct_rusage) -> int:
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def log_of(checkpoint: Path) -> dict[str, list[float | None]]:
    """The numbers of each epoch in nnU-Net's log; None where an epoch does not have it."""
    import torch

    logging = torch.load(checkpoint, map_location="cpu", weights_only=False)["logging"]
    names = ("train_losses", "mean_fg_dice", *(name for name in logging if name.startswith("svl_drl_")))
    return {name: [None if value != value else round(float(value), 5) for value in logging[name]] for name in names}


def train_seeded(arguments: Sequence[str]) -> None:
    """`nnUNetv2_train` with a seed, given first, and with the threads that `OMP_NUM_THREADS` says."""
    from nnunetv2_dale.benchmark import training

    sys.argv = ["nnUNetv2_train", *arguments]
    training.main()


def shorter(iterations: int) -> AbstractContextManager[object]:
    """Give nnU-Net's trainers so many iterations in an epoch, few to validate, and a checkpoint after each epoch."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    made = nnUNetTrainer.__init__

    @functools.wraps(made)
    def make(self: nnUNetTrainer, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch, self.save_every = iterations, 5, 1

    return mock.patch.object(nnUNetTrainer, "__init__", make)


def results_table(rows: Sequence[dict[str, Any]]) -> str:
    """Dice of each seed, its difference to plain nnU-Net's, and how far the policy has moved."""
    header = ["iterations", "arm", "Dice of each seed", "above plain", "entropy / log 3", "gain of an episode", "cost"]
    runs = {Run(**row["run"]): row for row in rows}
    lines = []
    for length in sorted({(run.epochs, run.iterations) for run in runs}):
        for arm in ARMS:
            own = [runs[run] for seed in SEEDS if (run := Run(arm, seed, *length)) in runs]
            if own:
                lines.append([str(length[0] * length[1]), arm, *_cells(own, runs)])
    return markdown(header, lines)


def _cells(own: Sequence[dict[str, Any]], runs: dict[Run, dict[str, Any]]) -> list[str]:
    """Of the trainings of an arm."""
    import math

    plain = [runs.get(replace(Run(**row["run"]), arm="plain")) for row in own]
    both = [(row, other) for row, other in zip(own, plain, strict=True) if other is not None]

    def points(row: dict[str, Any]) -> float:
        return 100 * statistics.mean(row["dice"])

    def first_and_last(name: str, scale: float) -> str:
        curves = [[value for value in row["log"].get(f"svl_drl_{name}", []) if value is not None] for row in own]
        ends = [f"{curve[0] * scale:.3f} → {curve[-1] * scale:.3f}" for curve in curves if curve]
        return ", ".join(ends) or "-"

    return [
        ", ".join(f"{points(row):.2f}" for row in own),
        ", ".join(f"{points(row) - points(other):+.2f}" for row, other in both) or "-",
        first_and_last("policy_entropy", 1 / math.log(3)),
        first_and_last("reward_gain", 1.0),
        ", ".join(cost_beside(row, other) for row, other in both) or "-",
    ]


def cost_beside(row: dict[str, Any], other: dict[str, Any]) -> str:
    """Processor time beside another training's; "-" where one was resumed, whose first part nobody measured."""
    own, plain = (each["processor_seconds"] for each in (row, other))
    return f"{own / plain:.1f}" if own and plain else "-"


def draw_curves(rows: Sequence[dict[str, Any]], target: Path) -> None:
    """Entropy of the policy, shares of the actions and reward of an episode over the training, an arm a colour."""
    import math

    from matplotlib.figure import Figure

    panels = {
        "entropy of the policy / log 3": ("policy_entropy", 1 / math.log(3)),
        "part of the voxels that keep": ("keep_share", 1.0),
        "part that enhance": ("enhance_share", 1.0),
        "reward of an episode": ("reward", 1.0),
        "its gain in Dice": ("reward_gain", 1.0),
        "its first step": ("reward_first_step", 1.0),
    }
    figure = Figure(figsize=(11, 6), layout="constrained")
    with_episodes = [row for row in rows if row["run"]["arm"] != "plain"]
    for axes, (title, (name, scale)) in zip(figure.subplots(2, 3).flat, panels.items(), strict=True):
        for row in with_episodes:
            values, run = row["log"][f"svl_drl_{name}"], Run(**row["run"])
            points = [((i + 1) * run.iterations, scale * value) for i, value in enumerate(values) if value is not None]
            look = {"color": f"C{list(ARMS).index(run.arm)}", "linestyle": "-:"[run.seed], "marker": "."}
            label = f"{run.arm}, {len(values) * run.iterations} iterations" if run.seed == 0 else None
            axes.plot(*zip(*points, strict=True), **look, label=label)
        axes.set(title=title, xlabel="iteration")
    figure.axes[0].legend(fontsize="small")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=100)


def run(arguments: argparse.Namespace) -> None:
    if arguments.figure:
        draw_curves(rows_of(RESULTS), FIGURE)
        return
    if arguments.workspace is None or arguments.source is None:
        raise UserError("expected --workspace and --source, or --figure; give both")
    workspace = arguments.workspace.resolve()
    use_workspace(workspace)
    prepare(workspace, arguments.source.resolve())
    length = arguments.epochs, arguments.iterations
    wanted = [Run(arm, seed, *length) for seed in arguments.seeds for arm in arguments.arms]
    for rows in add_missing(RESULTS, wanted, workspace, lambda each: train(each, workspace)):
        print(results_table(rows), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--seeded"]:  # of this command itself
        with shorter(int(argv[1])):
            train_seeded(argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, metavar="W", help="folder for datasets and trainings")
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="holds Dataset004_Hippocampus")
    parser.add_argument("--epochs", type=int, default=5, help="a length of nnU-Net's. Default: %(default)s")
    parser.add_argument("--iterations", type=int, default=250, help="of an epoch. Default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="Default: %(default)s")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), help="Default: all")
    parser.add_argument("--figure", action="store_true", help="train nothing: draw the curves of what is stored")
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
