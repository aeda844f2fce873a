"""From what the demo's commands left on disk to `demo.json` and the page on what DALE did."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from matplotlib.figure import Figure

from nnunetv2_dale import __version__
from nnunetv2_dale.commands.counted import duration
from nnunetv2_dale.demo.anatomy import FOREGROUND
from nnunetv2_dale.demo.dale_example import DaleExample
from nnunetv2_dale.demo.phantom import case_name
from nnunetv2_dale.demo.pictures import compare_labels, show_alignment, show_example
from nnunetv2_dale.demo.pipeline import CONFIGURATION, DATASET, PLANS, Step, model_folder
from nnunetv2_dale.demo.scale import Scale
from nnunetv2_dale.demo.workspace import Workspace
from nnunetv2_dale.nnunet_files.atomic_output import write_texts
from nnunetv2_dale.pages.html_page import figure_data_uri, render_page


def write_outcome(workspace: Workspace, scale: Scale, seed: int, device: str, steps: Sequence[Step]) -> None:
    """Write the page on what DALE did, and its numbers as `demo.json`."""
    dataset = workspace.raw / DATASET
    example = DaleExample.read(model_folder(workspace, list(scale.trainers.values())[1]) / "fold_0")
    phantom = json.loads((dataset / "phantom.json").read_text())
    numbers: dict[str, Any] = {
        "seed": seed,
        "device": device,
        "scale": asdict(scale),
        "steps": [asdict(step) for step in steps],
        "facts": _facts(workspace, scale),
        "algorithm_batches": int(np.isfinite(example.alignment).sum()),
        "readers": readers_found(dict(zip(example.training.tolist(), example.distrust.tolist(), strict=True)), phantom),
    }
    pictures = {"noise": _noise_picture(dataset), "example": show_example(example)}
    pictures["alignment"] = show_alignment(example.alignment)
    html = dale_page(numbers, phantom, pictures, workspace)
    text = json.dumps(numbers, indent=2, allow_nan=False, default=asdict) + "\n"
    write_texts({workspace.numbers: text, workspace.page: html}, overwrite=True)


@dataclass(frozen=True)
class Found:
    """What was found of one class."""

    label: str
    drawn_wide: Sequence[str]  # the training cases that the second reader has drawn wider
    too_wide: Sequence[str]  # the training cases that DALE down-weights, as the next, by why
    too_narrow: Sequence[str]
    # "right" where only such are down-weighted, and as too wide; "wrong" where others are, or as too narrow, which
    # nobody has drawn; "missed" where none is
    verdict: str


def readers_found(distrust: Mapping[str, Sequence[float]], phantom: Mapping[str, Any]) -> list[Found]:
    """Say for each class of `phantom.json` what was found, and whether it is so.

    The distrust of each training case and label value is above 0 where the label is held to be too wide, below 0 where
    too narrow.
    """
    wide = [case for case in distrust if case in phantom["drawn_wide"]]
    found = []
    for name, value in FOREGROUND.items():
        too_wide = [case for case, values in distrust.items() if values[value] > 0]
        too_narrow = [case for case, values in distrust.items() if values[value] < 0]
        verdict = "right" if too_wide == wide else "in part" if too_wide else "missed"
        if too_narrow or set(too_wide) - set(wide):
            verdict = "wrong"
        found.append(Found(name, wide, too_wide, too_narrow, verdict))
    return found


def dale_page(numbers: dict[str, Any], phantom: dict[str, Any], pictures: dict[str, Figure], place: Workspace) -> str:
    """Render as HTML the numbers of `demo.json`, and the pictures `noise`, `example` and `alignment`."""
    context = {
        **numbers,
        "facts_of_run": numbers["facts"],  # `facts` is a macro of the template
        "title": "What DALE did in the demo",
        "kicker": "nnunetv2-dale demo",
        "version": __version__,
        "report": os.path.relpath(place.report / "report.html", place.page.parent),
        "phantom": phantom,
        "batches": numbers["scale"]["epochs"] * numbers["scale"]["batches_per_epoch"],
        "total": duration(sum(step["seconds"] for step in numbers["steps"])),
        "duration": duration,
        "pictures": {
            name: figure_data_uri(figure, image_format="png", dots_per_inch=130) for name, figure in pictures.items()
        },
    }
    return render_page("demo.html.j2", "nnunetv2_dale.demo", context)


def _noise_picture(dataset: Path) -> Figure:
    case = case_name(0)
    files = (f"imagesTr/{case}_0000.nii.gz", f"labelsTr_clean/{case}.nii.gz", f"labelsTr/{case}.nii.gz")
    image, clean, noisy = (SimpleITK.ReadImage(str(dataset / file)) for file in files)
    pixels, true, drawn = (SimpleITK.GetArrayFromImage(each) for each in (image, clean, noisy))
    return compare_labels(pixels, true, drawn, image.GetSpacing()[::-1])


def _facts(workspace: Workspace, scale: Scale) -> dict[str, str]:
    plans = json.loads((workspace.preprocessed / DATASET / f"{PLANS}.json").read_text())
    planned = plans["configurations"][CONFIGURATION]
    channels = planned["architecture"]["arch_kwargs"]["features_per_stage"]
    voxels, spacing = (" × ".join(f"{value:g}" for value in values) for values in (scale.shape, scale.spacing_mm))
    return {
        "data": f"{scale.training_cases} + {scale.validation_cases} cases of {voxels} voxels at {spacing} mm",
        "network": f"U-Net, {len(channels)} stages of {', '.join(map(str, channels))} channels",
        "batch": f"{planned['batch_size']} slices of {' × '.join(map(str, planned['patch_size']))} pixels",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("nnunetv2", "torch"))
        + f", Python {platform.python_version()}",
        "processor": f"{os.cpu_count()} cores, {platform.machine()}",
    }
