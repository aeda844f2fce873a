"""From what the demo's commands left on disk to its numbers and its page."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.demo.dale_example import DaleExample
from nnunetv2_dale.demo.judging import Judgement, dice_of_folder
from nnunetv2_dale.demo.page import Outcome, demo_page
from nnunetv2_dale.demo.pictures import Volume, compare_case, compare_labels, show_alignment, show_example
from nnunetv2_dale.demo.pipeline import CONFIGURATION, PLANS, Step, dataset_name
from nnunetv2_dale.demo.scale import Scale
from nnunetv2_dale.demo.workspace import Workspace
from nnunetv2_dale.nnunet_files.atomic_output import new_file

ENDING = ".nii.gz"
NOISY = "noisy training labels"


def judge(workspace: Workspace, scale: Scale, seed: int, device: str, steps: list[Step]) -> Outcome:
    """Measure predictions and training labels against the clean ones and keep the numbers in `demo.json`.

    Raises:
        UserError: a prediction is missing.
    """
    dataset = workspace.raw / dataset_name()
    predictions = {}
    for method in scale.trainers:
        predictions[method] = dice_of_folder(workspace.predictions(method), dataset / "labelsTs")
        if len(predictions[method]) != scale.test_cases:
            raise UserError(
                f"expected {scale.test_cases} predictions of {method} in {workspace.predictions(method)}, found "
                f"{len(predictions[method])}; the logs in {workspace.logs} may say why"
            )
    noisy = Judgement({NOISY: dice_of_folder(dataset / "labelsTr", dataset / "labelsTr_clean")})
    example = DaleExample.read(_model(workspace, scale))
    outcome = Outcome(
        scale,
        seed,
        device,
        steps,
        Judgement(predictions),
        noisy,
        _facts(workspace, scale),
        int(np.isfinite(example.alignment).sum()),
        _groups(_model(workspace, scale)),
    )
    facts: dict[str, Any] = {
        "seed": seed,
        "device": device,
        "scale": asdict(scale),
        "steps": [asdict(step) for step in steps],
        "facts": dict(outcome.facts),
        "training_labels": noisy.as_json()[NOISY],
        "dice": outcome.predictions.as_json(),
        "algorithm_batches": outcome.algorithm_batches,
        "groups": list(outcome.groups),
    }
    with new_file(workspace.numbers, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n")
    return outcome


def write_page(workspace: Workspace, outcome: Outcome) -> Path:
    """Draw the pictures and write the page, last of all: a folder with a page is a demo that ran to its end."""
    dataset, clip_hu = workspace.raw / dataset_name(), _clip_hu(workspace)
    cases = {}
    for case in next(iter(outcome.predictions.dice.values())):
        predicted = {
            method: Volume.read(workspace.predictions(method) / f"{case}{ENDING}") for method in outcome.scale.trainers
        }
        image = Volume.read(dataset / "imagesTs" / f"{case}_0000{ENDING}")
        cases[case] = compare_case(image, Volume.read(dataset / "labelsTs" / f"{case}{ENDING}"), predicted, clip_hu)
    example = DaleExample.read(_model(workspace, outcome.scale))
    pictures = _noise_picture(dataset), show_example(example), show_alignment(example.alignment)
    html = demo_page(outcome, cases, *pictures)
    with new_file(workspace.page, overwrite=True) as unfinished:
        unfinished.write_text(html, encoding="utf-8")
    return workspace.page


def _model(workspace: Workspace, scale: Scale) -> Path:
    """The folder of the DALE model's one fold."""
    trainer = list(scale.trainers.values())[1]
    return workspace.results / dataset_name() / f"{trainer}__{PLANS}__{CONFIGURATION}" / "fold_0"


def _groups(model: Path) -> list[str]:
    """What the last epoch of the log says of groups of cases."""
    log = max(model.glob("training_log_*.txt"))
    of_epochs = re.split(r"Epoch \d", log.read_text(encoding="utf-8"))  # not at "Epoch time"
    return re.findall(r"DALE groups: (.+?) *$", of_epochs[-1], flags=re.MULTILINE)


def _noise_picture(dataset: Path) -> Figure:
    label = min((dataset / "labelsTr").glob(f"*{ENDING}"))
    image = dataset / "imagesTr" / label.name.replace(ENDING, f"_0000{ENDING}")
    return compare_labels(Volume.read(image), Volume.read(dataset / "labelsTr_clean" / label.name), Volume.read(label))


def _clip_hu(workspace: Workspace) -> tuple[float, float]:
    """Where nnU-Net's CT normalisation clips, from the fingerprint in the plans."""
    plans = json.loads((workspace.preprocessed / dataset_name() / f"{PLANS}.json").read_text())
    intensities = plans["foreground_intensity_properties_per_channel"]["0"]
    return float(intensities["percentile_00_5"]), float(intensities["percentile_99_5"])


def _facts(workspace: Workspace, scale: Scale) -> dict[str, str]:
    plans = json.loads((workspace.preprocessed / dataset_name() / f"{PLANS}.json").read_text())
    planned = plans["configurations"][CONFIGURATION]
    channels = planned["architecture"]["arch_kwargs"]["features_per_stage"]
    voxels, spacing = (" × ".join(f"{value:g}" for value in values) for values in (scale.shape, scale.spacing_mm))
    return {
        "data": f"{scale.training_cases} training and {scale.test_cases} test cases of {voxels} voxels at {spacing} mm",
        "network": f"U-Net, {len(channels)} stages of {', '.join(map(str, channels))} channels",
        "batch": f"{planned['batch_size']} slices of {' × '.join(map(str, planned['patch_size']))} pixels",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("nnunetv2", "torch"))
        + f", Python {platform.python_version()}",
        "processor": f"{os.cpu_count()} cores, {platform.machine()}",
    }
