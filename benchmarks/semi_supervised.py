"""Few labels: the left atrium with 8 or 16 of 64 training cases labelled, plain nnU-Net and DK-UXNet.

    python -m benchmarks.semi_supervised prepare --workspace W --source FOLDER     datasets and plans
    python -m benchmarks.semi_supervised run --workspace W                         the trainings, one after the other
    python -m benchmarks.semi_supervised table                                     what the stored results say

FOLDER is the raw dataset of 80 cases, la_001 … la_080, in the order of the field's list. The first 64 train, the rest
judge. The same command again continues: what is stored is not run again, and several commands may work at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.table import markdown
from benchmarks.trainings import add_row, claimed, rows_of, small_plans, use_workspace

RESULTS = Path(__file__).resolve().parent / "results" / "semi_supervised.jsonl"
TRAINING, CASES, IGNORE = 64, 80, 2
EPOCHS = 20  # of the learning rate's schedule and of the agreements' ramp, whatever the number of iterations

# A crop and a network that make a training minutes on a processor, in place of the planned and the published one
PATCH = [24, 40, 48]
SMALL_DK_UXNET = {
    "width": 8,
    "stages": 3,
    "blocks": 1,
    "query_count": 16,
    "query_channels": 32,
    "attention_heads": 4,
    "feed_forward_channels": 128,
}
NO_AGREEMENT = {f"agreement_{quarter}": 0.0 for quarter in ("first", "second", "third", "last")}
# arm → trainer, changes to the settings, whether the cases without labels are there
ARMS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "plain": ("plain", {}, False),
    "dk_uxnet": ("dk_uxnet", {}, True),
    # the same network, taught by the labels alone: what the cases without labels add. Fewest labels, equal epochs
    "dk_uxnet_labels_only": ("dk_uxnet", NO_AGREEMENT, True),
}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        budget: iterations of DK-UXNet.
        equal: "epochs": as many iterations; "time": as many as fit into DK-UXNet's processor time.
    """

    arm: str
    labelled: int
    budget: int
    equal: str
    seed: int

    @property
    def key(self) -> str:
        return "_".join(str(value) for value in asdict(self).values())


def runs(budget: int, seeds: int) -> list[Run]:
    """All trainings, the first seed of everything first. The time of DK-UXNet is its epochs."""
    listed = []
    for seed in range(seeds):
        listed += [Run("plain", labelled, budget, "epochs", seed) for labelled in (8, 16, TRAINING)]
        listed += [Run("dk_uxnet", labelled, budget, "epochs", seed) for labelled in (8, 16)]
        listed += [Run("plain", labelled, budget, "time", seed) for labelled in (8, 16, TRAINING)]
        listed.append(Run("dk_uxnet_labels_only", 8, budget, "epochs", seed))
    return listed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "run", "table"])
    parser.add_argument("--workspace", type=Path, help="folder for datasets and trainings (some GB)")
    parser.add_argument("--source", type=Path, help="of prepare: the raw dataset")
    parser.add_argument("--budget", type=int, default=500, help="of run: iterations. Default: %(default)s")
    parser.add_argument("--seeds", type=int, default=2, help="of run. Default: %(default)s")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON lines. Default: the stored ones")
    arguments = parser.parse_args()
    if arguments.what == "table":
        print(table(arguments.results))
        return
    if arguments.workspace is None or (arguments.what == "prepare" and arguments.source is None):
        parser.error("--workspace is needed, and --source to prepare")
    workspace: Path = arguments.workspace.resolve()
    use_workspace(workspace)
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112 -- nnU-Net's name; batches are made in this process
    if arguments.what == "prepare":
        for labelled in (TRAINING, 16, 8):
            prepare(workspace, arguments.source.resolve(), labelled)
        return
    for run in runs(arguments.budget, arguments.seeds):
        with claimed(workspace, run.key) as mine:
            if not mine or run.key in stored(arguments.results):
                continue
            cost = 1.0 if run.equal == "epochs" else cost_of(run, rows_of(arguments.results))
            if cost is None:
                print(f"{run.key}: its cost is being measured by another process; give the command again")
                continue
            add(arguments.results, run, workspace, cost)


def dataset_of(labelled: int) -> str:
    return f"Dataset{915 if labelled == TRAINING else 910 + labelled // 8}_LeftAtrium{labelled}"


def prepare(workspace: Path, source: Path, labelled: int) -> None:
    """The dataset with labels for the first cases and for those that judge; what is there already stays."""
    import SimpleITK

    name = dataset_of(labelled)
    raw, preprocessed = workspace / "raw" / name, workspace / "preprocessed" / name
    if not raw.exists():
        unfinished = raw.with_name(f".unfinished_{name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(source, unfinished)
        for number in range(labelled + 1, TRAINING + 1):
            path = unfinished / "labelsTr" / f"la_{number:03d}.nii.gz"
            SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)) * 0 + IGNORE, str(path), useCompression=True)
        description = json.loads((source / "dataset.json").read_text())
        description["labels"] = {"background": 0, "left_atrium": 1, "ignore": IGNORE}
        (unfinished / "dataset.json").write_text(json.dumps(description, indent=1))
        unfinished.rename(raw)
    if len(list((preprocessed / "tiny_3d_fullres").glob("*.pkl"))) < CASES:
        command = ["nnUNetv2_plan_and_preprocess", "-d", name[7:10], "-c", "3d_fullres", "-np", "1", "-npfp", "1"]
        command += ["-gpu_memory_target", "0.3", "-overwrite_plans_name", "tiny"]
        from benchmarks.machine import command_environment

        # nnU-Net's planner takes this number for that of its threads, of which it needs one
        subprocess.run(command, check=True, env={**command_environment(), "nnUNet_n_proc_DA": "1"})


def make_trainer(run: Run, workspace: Path) -> Any:
    """The arm's trainer on its cases; it writes no files but nnU-Net's log."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet

    trainer_name, settings, unlabelled = ARMS[run.arm]
    base: type = {"plain": nnUNetTrainer, "dk_uxnet": nnUNetTrainerDKUXNet}[trainer_name]
    training = [f"la_{number:03d}" for number in range(1, (TRAINING if unlabelled else run.labelled) + 1)]
    judging = [f"la_{number:03d}" for number in range(TRAINING + 1, CASES + 1)]
    kind = type("SemiSupervisedTrainer", (base,), {"do_split": lambda self: (training, judging)})
    folder = workspace / "preprocessed" / dataset_of(run.labelled)
    description = json.loads((folder / "dataset.json").read_text())
    plans = small_plans(folder)
    plans["configurations"]["3d_fullres"] |= {"patch_size": PATCH, "dk_uxnet": {**SMALL_DK_UXNET, **settings}}
    trainer = kind(plans, "3d_fullres", 0, description, torch.device("cpu"))
    trainer.num_epochs, trainer.disable_checkpointing = EPOCHS, True
    return trainer


def cost_of(run: Run, rows: Sequence[dict[str, Any]]) -> float | None:
    """Processor time of DK-UXNet's mean iteration over that of the arm, from the trainings of equal epochs.

    DK-UXNet's with 16 labelled cases stands for every number: the same network sees crops of the same size. None where
    one of the two is not stored yet.
    """
    seconds = {Run(**row["run"]).key: row["seconds"] / row["iterations"] for row in rows}
    dk_uxnet = Run("dk_uxnet", 16, run.budget, "epochs", run.seed).key
    own = replace(run, equal="epochs").key
    return seconds[dk_uxnet] / seconds[own] if {dk_uxnet, own} <= seconds.keys() else None


def _timed_steps(trainer: Any, iterations: int) -> list[float]:
    seconds = []
    for _ in range(iterations):
        batch = next(trainer.dataloader_train)
        started = time.thread_time()
        trainer.train_step(batch)
        seconds.append(time.thread_time() - started)
    return seconds


def train(run: Run, workspace: Path, cost: float) -> dict[str, Any]:
    """Train and judge; the row of the results file.

    Args:
        cost: how many of the run's iterations take the time that its budget counts; 1 for equal epochs.
    """
    import numpy as np
    import torch

    iterations = round(run.budget * cost)
    torch.manual_seed(run.seed)
    np.random.seed(run.seed)
    trainer = make_trainer(run, workspace)
    trainer.num_iterations_per_epoch = max(1, iterations // EPOCHS)
    trainer.on_train_start()
    seconds = 0.0
    for _ in range(EPOCHS):
        trainer.on_train_epoch_start()
        seconds += sum(_timed_steps(trainer, trainer.num_iterations_per_epoch))
        trainer.current_epoch += 1
    dice = judged(trainer)
    return {
        "run": asdict(run),
        "settings": ARMS[run.arm][1],
        "iterations": trainer.num_iterations_per_epoch * EPOCHS,
        "seconds": round(seconds, 1),
        "dice": round(statistics.mean(dice.values()), 5),
        "cases": dice,
    }


def judged(trainer: Any) -> dict[str, float]:
    """Dice of each judging case, predicted by nnU-Net's sliding window without mirroring, at the planned spacing."""
    import numpy as np
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from nnunetv2_dale.masks.overlap import dice

    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network.eval(),
        trainer.plans_manager,
        trainer.configuration_manager,
        None,
        trainer.dataset_json,
        type(trainer).__name__,
        None,
    )
    trainer.set_deep_supervision_enabled(False)
    _, cases = trainer.do_split()
    stored_cases = trainer.dataset_class(trainer.preprocessed_dataset_folder, cases)
    per_case = {}
    for case in cases:
        image, labels, _, _ = stored_cases.load_case(case)
        logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(np.asarray(image[:])))
        found, given = logits.argmax(0).numpy() == 1, np.asarray(labels[:])[0] == 1
        per_case[case] = round(dice(found, given), 5)
    return per_case


def add(results: Path, run: Run, workspace: Path, cost: float) -> None:
    """Run a training and append its row."""
    import torch

    from benchmarks.machine import describe

    torch.set_num_threads(1)
    row = train(run, workspace, cost)
    row["command"] = f"python -m benchmarks.semi_supervised run --budget {run.budget} --seeds {run.seed + 1}"
    row["machine"] = describe(torch.device("cpu"), 1)
    add_row(results, row)
    print(run.key, row["iterations"], row["dice"], flush=True)


def stored(results: Path) -> set[str]:
    """The keys of the runs whose rows the file has."""
    return {Run(**row["run"]).key for row in rows_of(results)}


def table(results: Path) -> str:
    """Dice of each arm, in points: mean over the judging cases for every seed, and the mean of the seeds."""
    seeds: dict[tuple[int, int, str], list[dict[str, Any]]] = defaultdict(list)
    arms = list(ARMS)
    for row in rows_of(results):
        run = Run(**row["run"])
        seeds[run.labelled, arms.index(run.arm), run.equal].append(row)
    lines = []
    for (labelled, arm, equal), rows in sorted(seeds.items()):
        dice = [100 * row["dice"] for row in sorted(rows, key=lambda row: int(row["run"]["seed"]))]
        iterations = "–".join(str(count) for count in sorted({row["iterations"] for row in rows}))
        each = ", ".join(f"{value:.2f}" for value in dice)
        lines.append([str(labelled), arms[arm], equal, iterations, each, f"{statistics.mean(dice):.2f}"])
    return markdown(["labelled", "arm", "equal", "iterations", "Dice of each seed", "mean"], lines)


if __name__ == "__main__":
    main()
