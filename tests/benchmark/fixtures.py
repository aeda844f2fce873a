"""Folders that look like nnU-Net's, for tests of the benchmark that train nothing, and a phantom for those that do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nnunetv2_dale.benchmark.job import Job
from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.commands.process_identity import ProcessIdentity
from tests.datasets import NnunetFolders, preprocess, write_phantoms

DATASET = "Dataset905_Phantom"
RUN = Run(DATASET, "nnUNetTrainer", "nnUNetPlans", "2d", "0")
SHORT_TRAINERS = Path(__file__).resolve().parent / "short_trainers"


def write_checkpoint(path: Path, whole: bool = True) -> None:
    """A file that passes for a checkpoint of torch.save, or one that was cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x" * 1000)
    if not whole:
        path.write_bytes(path.read_bytes()[:500])


def write_summary(folder: Path, dice: float = 0.5, case: str = "case_00") -> None:
    """nnU-Net's summary of a fold's validation."""
    (folder / "validation").mkdir(parents=True, exist_ok=True)
    cases = [{"prediction_file": f"/any/{case}.nii.gz", "metrics": {"1": {"Dice": dice}}}]
    summary = {"foreground_mean": {"Dice": dice}, "mean": {"1": {"Dice": dice}}, "metric_per_case": cases}
    (folder / "validation" / "summary.json").write_text(json.dumps(summary))


def job_for(run: Run, root: Path, **changes: object) -> Job:
    """A job below `root` that trains on the CPU with one thread."""
    folders = {name: str(root / name) for name in ("results", "preprocessed")}
    options = {"device": "cpu", "npz": False, "pretrained_weights": None, "num_gpus": 1, "threads": 1}
    of_runner = {"gpus_per_node": None, "environment": {}, "runner": "tests", "head": ProcessIdentity.current()}
    return Job(run=run, **{**folders, **options, **of_runner, **changes})  # type: ignore[arg-type]


def preprocessed_phantom(root: Path) -> dict[str, str]:
    """Make the phantom and preprocess its 2D configuration; returns the variables for nnU-Net's commands."""
    folders = NnunetFolders(root)
    write_phantoms(folders, DATASET)
    preprocess(folders, DATASET, ("2d",))
    (root / "results").mkdir()
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        **folders.environment,
        "nnUNet_extTrainer": str(SHORT_TRAINERS),
        "nnUNet_compile": "f",
        "OMP_NUM_THREADS": "1",
        # the command is called by its full path and has to find Parsl's programs itself
        "PATH": os.pathsep.join(path for path in os.environ["PATH"].split(os.pathsep) if path != scripts),
    }


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 200) -> None:
    """Wait for something; what, and how long, is the error."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)


def until_in_work(command: subprocess.Popen[Any], condition: Callable[[], bool], what: str) -> None:
    """Wait for something that a command in the background does; it may not end before."""
    wait_until(lambda: command.poll() is not None or condition(), what)
    assert command.poll() is None, f"the command ended early with {command.returncode}"


def benchmark_command(*arguments: str) -> list[str]:
    """The installed command by its full path."""
    return [str(Path(sys.executable).parent / "nnUNetv2_dale_benchmark"), "-d", "905", "-c", "2d", *arguments]
