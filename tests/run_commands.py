"""Runs nnU-Net's commands and ours one after the other in this process: starting nnU-Net takes long."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nnunetv2.utilities.utils
import pytest
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

PROGRAMS = {entry.name: entry for entry in entry_points(group="console_scripts")}


def use_threads(patch: pytest.MonkeyPatch) -> None:
    """Threads for nnU-Net's processes: those it spawns import for long, and forks of one with threads can hang."""
    patch.setattr(multiprocessing, "get_context", lambda *_: SimpleNamespace(Pool=ThreadPool))
    patch.setattr(nnunetv2.utilities.utils, "Pool", ThreadPool)


def leave_out_hours(patch: pytest.MonkeyPatch) -> None:
    """A training ends before its first batch, with a checkpoint of its first weights."""
    patch.setattr(nnUNetTrainer, "run_training", _end_before_the_first_batch)
    patch.setattr(nnUNetTrainer, "perform_actual_validation", lambda self, *_: None)
    patch.setattr(nnUNetPredictor, "predict_from_files", predict_here)


def go_to(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The folder is the current one, and nnU-Net's three are in it."""
    patch.chdir(folder)
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    environment = {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1", "nnUNet_compile": "f"}
    for name, value in {**{name: str(folder / name) for name in names}, **environment}.items():
        patch.setenv(name, value)


def run(lines: Iterable[str], patch: pytest.MonkeyPatch) -> None:
    """Run console scripts, and set variables for those that follow; fails when one of them does."""
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and name.isidentifier():
            patch.setenv(name, os.path.expandvars(value))
            continue
        patch.setattr(sys, "argv", shlex.split(os.path.expandvars(line), comments=True))
        print("$", *sys.argv, flush=True)
        try:
            code = PROGRAMS[sys.argv[0]].load()()
        except SystemExit as end:
            code = end.code
        assert not code, f"exit code {code}: {line}"


def _end_before_the_first_batch(self: Any) -> None:
    self.initialize()
    self.do_split()
    save_json(self.plans_manager.plans, f"{self.output_folder_base}/plans.json")
    save_json(self.dataset_json, f"{self.output_folder_base}/dataset.json")
    self.save_checkpoint(f"{self.output_folder}/checkpoint_final.pth")


def predict_here(self: Any, source: Any, target: Any, *_: Any, **__: Any) -> Any:
    return self.predict_from_files_sequential(source, target, False, True)
