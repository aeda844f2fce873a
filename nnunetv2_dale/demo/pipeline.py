"""The steps of the demo: a phantom dataset, then nnU-Net's real commands on it, for plain nnU-Net and for DALE."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from nnunetv2_dale.demo.commands import Command, run_logged
from nnunetv2_dale.demo.phantom import write_phantom_dataset
from nnunetv2_dale.demo.scale import Scale
from nnunetv2_dale.demo.workspace import Workspace
from nnunetv2_dale.nnunet_files.atomic_output import new_file

DATASET_ID = 998
PLANS = "nnUNetDemoPlans"
CONFIGURATION = "2d"
LARGEST_BATCH = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One step that was done."""

    title: str
    command: str  # empty where the demo did it itself
    seconds: float


def run_demo(workspace: Workspace, scale: Scale, seed: int, device: str, processes: int) -> list[Step]:
    """Make the data, plan, preprocess, train and predict with both methods.

    Args:
        workspace: a fresh one; everything is written there.
        scale: how much to do.
        seed: of the phantom and of both trainings.
        device: "cpu", "cuda" or "mps", for training and prediction.
        processes: for fingerprint and preprocessing.
    Returns:
        the steps in their order.
    Raises:
        UserError: a step failed.
    """
    before, after = commands(workspace, scale, device, processes)
    number_of_steps = len(before) + len(after) + 2
    steps: list[Step] = []

    def done(step: Step) -> None:
        steps.append(step)
        log.info("[%d/%d] %s: %.0f s", len(steps), number_of_steps, step.title, step.seconds)

    done(_make_data(workspace, scale, seed))
    environment = workspace.environment()
    for command in before:
        done(_run(workspace, command, environment, number=len(steps) + 1))
    done(_shrink_network(workspace))
    # batches made in the training's own process: one stream of random numbers, so that a seed means something
    environment["nnUNet_n_proc_DA"] = "0"
    for command in after:
        done(_run(workspace, command, environment, number=len(steps) + 1))
    return steps


def commands(workspace: Workspace, scale: Scale, device: str, processes: int) -> tuple[list[Command], list[Command]]:
    """nnU-Net's command lines, before and after its plans are made smaller."""
    dataset, workers, images = str(DATASET_ID), str(processes), str(workspace.raw / dataset_name() / "imagesTs")
    before = [
        Command(
            "check the data and take its fingerprint",
            ("nnUNetv2_extract_fingerprint", "-d", dataset, "-np", workers, "--verify_dataset_integrity"),
        ),
        Command("plan the experiment", ("nnUNetv2_plan_experiment", "-d", dataset, "-overwrite_plans_name", PLANS)),
    ]
    preprocess = ("nnUNetv2_preprocess", "-d", dataset, "-plans_name", PLANS, "-c", CONFIGURATION, "-np", workers)
    trainings, predictions = [], []
    for method, trainer in scale.trainers.items():
        model = ("-tr", trainer, "-p", PLANS, "-device", device)
        train = ("nnUNetv2_train", dataset, CONFIGURATION, "0", *model)
        trainings.append(Command(f"train {method}", train, r"\bEpoch time:", scale.epochs, "epoch"))
        folders = ("-i", images, "-o", str(workspace.predictions(method)))
        predict = ("nnUNetv2_predict", "-d", dataset, *folders, "-f", "0", "-c", CONFIGURATION, *model)
        sequential = ("-npp", "0", "-nps", "0")
        predictions.append(
            Command(f"predict with {method}", (*predict, *sequential), r"^Predicting ", scale.test_cases, "case")
        )
    return before, [Command("preprocess", preprocess), *trainings, *predictions]


def dataset_name() -> str:
    """The folder of the demo's dataset in nnU-Net's folders."""
    return f"Dataset{DATASET_ID:03d}_DalePhantom"


def _run(workspace: Workspace, command: Command, environment: dict[str, str], number: int) -> Step:
    log_file = workspace.logs / f"{number:02d}_{command.title.replace(' ', '_')}.txt"
    seconds = run_logged(command, log_file, environment)
    return Step(command.title, command.line, seconds)


def _make_data(workspace: Workspace, scale: Scale, seed: int) -> Step:
    started = time.monotonic()
    total = scale.training_cases + scale.test_cases
    with tqdm(total=total, desc="make the phantom", unit="case", leave=False, disable=None) as bar:
        folder = write_phantom_dataset(
            workspace.raw,
            dataset_id=DATASET_ID,
            training_cases=scale.training_cases,
            test_cases=scale.test_cases,
            seed=seed,
            shape=scale.shape,
            spacing_mm=scale.spacing_mm,
            on_case=lambda _: bar.update(),
        )
    description = json.loads((folder / "dataset.json").read_text())
    _rewrite(folder / "dataset.json", description | {"demo_seed": seed})  # read by demo.trainers
    return Step(f"make the phantom ({total} cases)", "", time.monotonic() - started)


def _shrink_network(workspace: Workspace) -> Step:
    """Halve the channels of the planned network and cut the batch, as one edits nnU-Net's plans by hand.

    What nnU-Net plans is made for a GPU; a CPU would need hours.
    """
    started = time.monotonic()
    path = workspace.preprocessed / dataset_name() / f"{PLANS}.json"
    plans = json.loads(path.read_text())
    planned = plans["configurations"][CONFIGURATION]
    architecture = planned["architecture"]["arch_kwargs"]
    architecture["features_per_stage"] = [features // 2 for features in architecture["features_per_stage"]]
    planned["batch_size"] = min(planned["batch_size"], LARGEST_BATCH)
    _rewrite(path, plans)
    return Step("halve the planned network, for a CPU", "", time.monotonic() - started)


def _rewrite(path: Path, content: object) -> None:
    with new_file(path, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(content, indent=4))
