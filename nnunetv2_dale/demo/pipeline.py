"""The steps of the demo: a phantom dataset, nnU-Net's real commands on it for plain nnU-Net and DALE, the report."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.demo.commands import Command, run_logged
from nnunetv2_dale.demo.phantom import case_name, write_phantom_dataset
from nnunetv2_dale.demo.scale import Scale
from nnunetv2_dale.demo.workspace import Workspace
from nnunetv2_dale.nnunet_files.atomic_output import write_texts
from nnunetv2_dale.nnunet_files.json_files import json_text

DATASET_ID = 998
DATASET = f"Dataset{DATASET_ID:03d}_DalePhantom"
PLANS = "nnUNetDemoPlans"
CONFIGURATION = "2d"
LARGEST_BATCH = 4
LINK = "So short a training shows the way, not what DALE can do: what it did here, and whether it found the two readers"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One step that was done."""

    title: str
    command: str  # empty where the demo did it itself
    seconds: float


def run_demo(workspace: Workspace, scale: Scale, seed: int, device: str, processes: int) -> list[Step]:
    """Make the data, plan, preprocess, train and validate with both methods, and compare them in a report.

    Args:
        workspace: a fresh one; everything is written there.
        scale: how much to do.
        seed: of the phantom and of both trainings.
        device: "cpu", "cuda" or "mps", for the trainings.
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
    done(_edit_plans(workspace, scale))
    # batches made in the training's own process: one stream of random numbers, so that a seed means something
    environment["nnUNet_n_proc_DA"] = "0"
    for command in after:
        done(_run(workspace, command, environment, number=len(steps) + 1))
    return steps


def commands(workspace: Workspace, scale: Scale, device: str, processes: int) -> tuple[list[Command], list[Command]]:
    """Build the command lines before and after nnU-Net's plans are made smaller."""
    dataset, workers = str(DATASET_ID), str(processes)
    before = [
        Command(
            "check the data and take its fingerprint",
            ("nnUNetv2_extract_fingerprint", "-d", dataset, "-np", workers, "--verify_dataset_integrity"),
        ),
        Command("plan the experiment", ("nnUNetv2_plan_experiment", "-d", dataset, "-overwrite_plans_name", PLANS)),
    ]
    preprocess = ("nnUNetv2_preprocess", "-d", dataset, "-plans_name", PLANS, "-c", CONFIGURATION, "-np", workers)
    trainings = []
    for method, trainer in scale.trainers.items():
        train = ("nnUNetv2_train", dataset, CONFIGURATION, "0", "-tr", trainer, "-p", PLANS, "-device", device)
        trainings.append(Command(f"train {method}", train, r"\bEpoch time:", scale.epochs, "epoch"))
    models = tuple(str(model_folder(workspace, trainer)) for trainer in scale.trainers.values())
    link = ("--page_link", str(workspace.page), LINK)
    report = ("nnUNetv2_dale_report", *models, "-o", str(workspace.report), "-np", workers, *link)
    return before, [Command("preprocess", preprocess), *trainings, Command("compare both", report)]


def model_folder(workspace: Workspace, trainer: str) -> Path:
    """Say where nnU-Net keeps the model of a trainer."""
    return workspace.results / DATASET / f"{trainer}__{PLANS}__{CONFIGURATION}"


def _run(workspace: Workspace, command: Command, environment: dict[str, str], number: int) -> Step:
    log_file = workspace.logs / f"{number:02d}_{command.title.replace(' ', '_')}.txt"
    return Step(command.title, command.line, run_logged(command, log_file, environment))


def _make_data(workspace: Workspace, scale: Scale, seed: int) -> Step:
    started = time.monotonic()
    total = scale.training_cases + scale.validation_cases
    with tqdm(total=total, desc="make the phantom", unit="case", leave=False, disable=None) as bar:
        folder = write_phantom_dataset(
            workspace.raw,
            dataset_id=DATASET_ID,
            training_cases=scale.training_cases,
            validation_cases=scale.validation_cases,
            test_cases=0,
            seed=seed,
            shape=scale.shape,
            spacing_mm=scale.spacing_mm,
            on_case=lambda _: bar.update(),
        )
    description = json.loads((folder / "dataset.json").read_text())
    description["demo_seed"] = seed  # read by demo.trainers
    write_texts({folder / "dataset.json": json_text(description)}, overwrite=True)
    return Step(f"make the phantom ({counted(total, 'case')})", "", time.monotonic() - started)


def _edit_plans(workspace: Workspace, scale: Scale) -> Step:
    """Edit nnU-Net's files as one does by hand: half the channels, a smaller batch, and a split of one's own.

    What nnU-Net plans is made for a GPU; a CPU would need hours. The cases with true labels validate.
    """
    started = time.monotonic()
    folder = workspace.preprocessed / DATASET
    path = folder / f"{PLANS}.json"
    plans = json.loads(path.read_text())
    planned = plans["configurations"][CONFIGURATION]
    architecture = planned["architecture"]["arch_kwargs"]
    architecture["features_per_stage"] = [features // 2 for features in architecture["features_per_stage"]]
    planned["batch_size"] = min(planned["batch_size"], LARGEST_BATCH)
    names = [case_name(index) for index in range(scale.training_cases + scale.validation_cases)]
    split = {"train": names[: scale.training_cases], "val": names[scale.training_cases :]}
    write_texts({path: json_text(plans), folder / "splits_final.json": json_text([split])}, overwrite=True)
    return Step("halve the planned network for a CPU, validate on true labels", "", time.monotonic() - started)
