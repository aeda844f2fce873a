"""The audit study's datasets: each condition is one dataset whose labels carry noise of a known kind, or none."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import command_environment
from benchmarks.plans_file import PLANNED, plan_command, smaller_plans
from nnunetv2_dale.nnunet_files.folders import SPLITS
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.splits import splits_by_fold

HIPPOCAMPUS, LIDC = "hippocampus", "lidc"
CLEAN_ID = {HIPPOCAMPUS: 4, LIDC: 907}
FEATURES = [8, 16, 32, 64]  # of the small networks; the rest is nnU-Net's plan for a small memory
BATCH_SIZE = {HIPPOCAMPUS: 8, LIDC: 6}
FOLDS = 3

# What each kind alone needs for a mean foreground Dice of 0.80 on Hippocampus (`--dice 0.80`, rounded up), in its unit.
# A component is missing, or of another class, with the probability given.
AMOUNTS = {"boundary": 32.0, "dilate": 0.8, "erode": 0.7, "shift": 1.4, "smooth": 11.0, "missing": 0.6, "swap": 0.6}
LIDC_AMOUNTS = {"boundary": 40.0, "dilate": 1.2, "erode": 0.9, "shift": 1.8, "smooth": 8.5, "missing": 1.0}


@dataclass(frozen=True)
class Condition:
    """One dataset to train on and to audit."""

    data: str  # which images
    number: int  # dataset id
    kinds: tuple[str, ...] = ()  # of noise; none is the clean dataset
    fraction: float = 0.0  # of the cases that get noise
    # id of the condition whose networks judge this one, None for its own. The same cases are corrupted there, so that
    # no judge was trained on the right label of one of them; or it has right labels alone, and each network judges
    # cases that it was not trained on.
    judges: int | None = None

    @property
    def name(self) -> str:
        if not self.kinds:
            return f"{self.data} clean"
        kinds = self.kinds[0] if len(self.kinds) == 1 else "mixed"
        clean = self.judges == CLEAN_ID[self.data]
        return f"{self.data} {kinds} {self.fraction:.0%}" + (", networks of right labels" if clean else "")

    def recipe(self) -> list[str]:
        """The command that makes the dataset from the clean one."""
        amounts = AMOUNTS if self.data == HIPPOCAMPUS else LIDC_AMOUNTS
        words = ["nnUNetv2_dale_corrupt_labels", "-d", str(CLEAN_ID[self.data]), "--new_id", str(self.number)]
        words += ["--kind", *self.kinds, "--amount", *(f"{amounts[kind]:g}" for kind in self.kinds)]
        words += ["--fraction", f"{self.fraction:g}", "--seed", str(self.judges or self.number)]
        return [*words, "--link", "hard", "-np", "1"]


MIXED, LIDC_MIXED = tuple(AMOUNTS), tuple(LIDC_AMOUNTS)
CONDITIONS = (  # in the order in which they are trained
    Condition(HIPPOCAMPUS, 921, MIXED, 0.10),
    Condition(LIDC, 941, LIDC_MIXED, 0.10),
    Condition(HIPPOCAMPUS, 4),
    Condition(LIDC, 907),
    Condition(HIPPOCAMPUS, 923, MIXED, 0.20),
    Condition(HIPPOCAMPUS, 924, MIXED, 0.40),
    Condition(HIPPOCAMPUS, 922, MIXED, 0.05),
)
JUDGED = (  # by the networks of one of these
    *(Condition(HIPPOCAMPUS, 931 + place, (kind,), 0.10, judges=921) for place, kind in enumerate(MIXED)),
    Condition(LIDC, 942, LIDC_MIXED, 0.10, judges=907),
)


def prepare(condition: Condition, source: Path) -> None:
    """Make the dataset, its plans and its preprocessed files with the stock commands; what is there stays.

    `source` holds `Dataset004_Hippocampus` (raw) and `lidc_nodules`.
    """
    make_dataset(condition, source)
    preprocessed = Path(os.environ["nnUNet_preprocessed"])  # noqa: SIM112 -- nnU-Net's name
    if not list(preprocessed.glob(f"Dataset{condition.number:03d}_*/{PLANNED}.json")):
        environment = command_environment() | {"nnUNet_n_proc_DA": "1"}
        subprocess.run(plan_command(condition.number, "2d"), check=True, env=environment)
    write_splits(preprocessed_folder(condition))


def make_dataset(condition: Condition, source: Path) -> None:
    """Make the raw dataset, and before it the clean one that it comes from."""
    if list(Path(os.environ["nnUNet_raw"]).glob(f"Dataset{condition.number:03d}_*")):  # noqa: SIM112
        return
    if condition.kinds:
        make_dataset(Condition(condition.data, CLEAN_ID[condition.data]), source)
        subprocess.run(condition.recipe(), check=True, env=command_environment())
    elif condition.data == HIPPOCAMPUS:
        raw = Path(os.environ["nnUNet_raw"])  # noqa: SIM112 -- nnU-Net's name
        shutil.copytree(source / "Dataset004_Hippocampus", raw / "Dataset004_Hippocampus")
    else:
        convert_readers(source, "consensus", condition.number)


def write_splits(folder: Path) -> None:
    """Three folds instead of nnU-Net's five, the same for every condition; LIDC's are by patient."""
    cases = sorted(file.name.split(".")[0] for file in (folder / "gt_segmentations").iterdir())
    groups = sorted({_patient(case) for case in cases})
    random.Random(12345).shuffle(groups)
    held_out = [[case for case in cases if _patient(case) in groups[fold::FOLDS]] for fold in range(FOLDS)]
    write_json(folder / SPLITS, splits_by_fold(cases, held_out))


def _patient(case: str) -> str:
    return case.partition("_n")[0]  # LIDC's are PATIENT_nNODULE_sSLICE


def convert_readers(source: Path, target: str, number: int) -> None:
    """LIDC's nodules as a raw dataset with the consensus' or a reader's labels."""
    words = ["nnUNetv2_dale_convert", "lidc", "-i", str(source / "lidc_nodules"), "--new_id", str(number)]
    subprocess.run(
        [*words, "--target", target, "--name", "LIDC" + target, "-np", "1"], check=True, env=command_environment()
    )


def preprocessed_folder(condition: Condition) -> Path:
    return next(Path(os.environ["nnUNet_preprocessed"]).glob(f"Dataset{condition.number:03d}_*"))  # noqa: SIM112


def raw_folder(condition: Condition) -> Path:
    return next(Path(os.environ["nnUNet_raw"]).glob(f"Dataset{condition.number:03d}_*"))  # noqa: SIM112


def small_plans(condition: Condition) -> dict[str, Any]:
    """nnU-Net's plans for a small memory, with a smaller network and batch."""
    planned = json.loads((preprocessed_folder(condition) / f"{PLANNED}.json").read_text())
    plans = smaller_plans(planned, "2d", FEATURES, "small", batch_size=BATCH_SIZE[condition.data])
    return {**plans, "continue_training": False}
