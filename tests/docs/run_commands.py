"""Runs commands, one a line of the standard input, one after the other in this process: starting nnU-Net takes long.

What takes hours is left out: a training ends before its first batch, with a checkpoint of its first weights.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import sys
from importlib.metadata import entry_points
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace
from typing import Any

PROGRAMS = {entry.name: entry for entry in entry_points(group="console_scripts")}


def main() -> int:
    _make_short()
    for line in sys.stdin.read().splitlines():
        name, equals, value = line.partition("=")
        if equals and name.isidentifier():
            os.environ[name] = os.path.expandvars(value)
            continue
        sys.argv = shlex.split(os.path.expandvars(line), comments=True)
        print("$", *sys.argv, flush=True)
        try:
            code = PROGRAMS[sys.argv[0]].load()()
        except SystemExit as end:
            code = end.code
        if code:
            print(f"exit code {code}: {line}", flush=True)
            return 1
    return 0


def _make_short() -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    nnUNetTrainer.run_training = _end_before_the_first_batch
    nnUNetTrainer.perform_actual_validation = lambda self, *_: None
    nnUNetPredictor.predict_from_files = _predict_here
    multiprocessing.get_context = lambda *_: SimpleNamespace(Pool=ThreadPool)  # type: ignore[assignment, return-value]


def _end_before_the_first_batch(self: Any) -> None:
    from batchgenerators.utilities.file_and_folder_operations import save_json

    self.initialize()
    self.do_split()
    save_json(self.plans_manager.plans, f"{self.output_folder_base}/plans.json")
    save_json(self.dataset_json, f"{self.output_folder_base}/dataset.json")
    self.save_checkpoint(f"{self.output_folder}/checkpoint_final.pth")


def _predict_here(self: Any, source: Any, target: Any, *_: Any, **__: Any) -> Any:
    return self.predict_from_files_sequential(source, target, False, True)


if __name__ == "__main__":
    sys.exit(main())
