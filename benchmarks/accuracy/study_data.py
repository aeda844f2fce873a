"""The study's datasets: which there are, and how they are made with the project's and nnU-Net's own commands."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.audit_study.conditions import AMOUNTS
from benchmarks.machine import command_environment
from benchmarks.plans_file import PLANNED, plan_command, smaller_plans


@dataclass(frozen=True)
class StudyData:
    """One task with several versions of its labels; the first is the truth that judges."""

    name: str
    versions: dict[str, int]  # version → dataset number
    recipes: dict[str, list[str]]  # version → the command that makes it
    configurations: tuple[str, ...]

    @property
    def truth(self) -> str:
        return next(iter(self.versions))


def _noise(number: int, *flags: str, fraction: float = 0.45) -> list[str]:
    command = ["nnUNetv2_dale_corrupt_labels", "-d", "4", "--new_id", str(number), "--fraction", str(fraction)]
    return [*command, "--seed", "1", "-np", "2", *flags]


HIPPOCAMPUS = StudyData(
    "hippocampus",
    {"clean": 4, "biased": 904, "unbiased": 905, "dilated": 908},
    {
        "biased": _noise(904, "--kind", "boundary", "--bias", "1", "--dice", "0.80"),
        "unbiased": _noise(905, "--kind", "boundary", "--bias", "0.5", "--dice", "0.80"),
        "dilated": _noise(908, "--kind", "dilate", "--amount", "2"),
    },
    ("2d", "3d_fullres"),
)
DISPLACED = StudyData(
    "displaced",
    {"clean": 4, "dilated": 908, "eroded": 909},
    {
        "dilated": HIPPOCAMPUS.recipes["dilated"],
        "eroded": _noise(909, "--kind", "erode", "--amount", "1", fraction=0.6),
    },
    ("2d", "3d_fullres"),
)
LIDC = StudyData(
    "lidc",
    {"consensus": 907, "random_reader": 906},
    {
        version: f"nnUNetv2_dale_convert lidc -i SOURCE --new_id {number} --target {target} --name LIDC{target}".split()
        for version, number, target in (("consensus", 907, "consensus"), ("random_reader", 906, "random"))
    },
    ("2d",),
)
CHECKED = StudyData(
    "checked",
    {"clean": 4, "dilated": 908, "mixed": 910},
    {
        "dilated": HIPPOCAMPUS.recipes["dilated"],
        "mixed": _noise(910, "--kind", *AMOUNTS, "--amount", *map(str, AMOUNTS.values())),
    },
    ("2d",),
)
ALL = {data.name: data for data in (HIPPOCAMPUS, DISPLACED, LIDC, CHECKED)}

# What makes a fold minutes on a CPU: nnU-Net's tiny plans with these networks and batches.
SMALL_FEATURES = [8, 16, 32, 64]
SMALL_BATCH = {
    **{(name, "2d"): size for name, size in {"hippocampus": 12, "displaced": 12, "lidc": 6, "checked": 12}.items()},
    **{(name, "3d_fullres"): 2 for name in ("hippocampus", "displaced")},
}


def prepare(workspace: Path, source: Path, names: Sequence[str] = ()) -> None:
    """Make datasets, of `ALL` those named or all, plans included, in the workspace of `use_workspace`; what is there
    already stays.

    `source` holds `Dataset004_Hippocampus` (raw) and `lidc_nodules`.
    """
    raw, preprocessed = workspace / "raw", workspace / "preprocessed"
    environment = command_environment() | {"nnUNet_n_proc_DA": "1"}  # nnU-Net's planner refuses the study's 0
    if not (raw / "Dataset004_Hippocampus").exists():
        shutil.copytree(source / "Dataset004_Hippocampus", raw / "Dataset004_Hippocampus")
    for data in (ALL[name] for name in names or ALL):
        for version, number in data.versions.items():
            if version in data.recipes and not list(raw.glob(f"Dataset{number:03d}_*")):
                command = [str(source / "lidc_nodules") if word == "SOURCE" else word for word in data.recipes[version]]
                subprocess.run(command, env=environment, check=True)
            if not list(preprocessed.glob(f"Dataset{number:03d}_*/{PLANNED}.json")):
                subprocess.run(plan_command(number, *data.configurations), env=environment, check=True)


def folder_of(workspace: Path, data: StudyData, version: str) -> Path:
    """The preprocessed dataset of a version of the labels."""
    number = data.versions[version]
    found = sorted((workspace / "preprocessed").glob(f"Dataset{number:03d}_*"))
    if not found:
        raise FileNotFoundError(f"no preprocessed dataset {number} below {workspace}; run study.py prepare")
    return found[0]


def small_plans(folder: Path, data: StudyData, configuration: str) -> dict[str, Any]:
    """nnU-Net's tiny plans with a smaller network and batch."""
    planned, batch = json.loads((folder / f"{PLANNED}.json").read_text()), SMALL_BATCH[data.name, configuration]
    plans = smaller_plans(planned, configuration, SMALL_FEATURES, PLANNED, batch_size=batch)
    return {**plans, "continue_training": False}
