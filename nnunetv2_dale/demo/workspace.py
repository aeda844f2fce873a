"""The one folder that everything of a demo lies in, and the environment that keeps nnU-Net inside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.demo.scale import FULL, QUICK
from nnunetv2_dale.nnunet_files.atomic_output import refuse_existing

MARKER = ".made_by_nnUNetv2_dale_demo"
NEEDED_BYTES = 500_000_000  # data, two trainings with their checkpoints; about 200 MB are used

RE_EXPORTS = f"""# for nnU-Net's search
from nnunetv2_dale.demo.trainers import {", ".join([*FULL.trainers.values(), *QUICK.trainers.values()])}
"""


class Workspace:
    """Where a demo keeps what; all under `folder`, which is absolute."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw, self.preprocessed = folder / "nnUNet_raw", folder / "nnUNet_preprocessed"
        self.results, self.trainers = folder / "nnUNet_results", folder / "trainers"
        self.logs, self.report = folder / "logs", folder / "report"
        self.numbers, self.page = folder / "demo.json", folder / "what_dale_did.html"

    @classmethod
    def create(cls, folder: Path, overwrite: bool = False) -> Workspace:
        """Make the folder and what nnU-Net expects in it.

        Raises:
            UserError: the folder exists (with `overwrite`: and is neither empty nor an earlier demo), it cannot be
                made, its path has the separator of path lists in it, or there is too little space.
        """
        folder = folder.absolute()
        refuse_existing(folder, overwrite)
        if os.pathsep in str(folder):
            raise UserError(
                f"nnU-Net cannot use folders with {os.pathsep!r} in their path, as in {folder}; give another"
            )
        _require_space(folder)
        try:
            _remove_earlier_demo(folder)
            workspace = cls(folder)
            for part in (workspace.raw, workspace.preprocessed, workspace.results, workspace.trainers, workspace.logs):
                part.mkdir(parents=True)
            (folder / MARKER).touch()
            (workspace.trainers / "nnunetv2_dale_demo_trainers.py").write_text(RE_EXPORTS)
        except OSError as error:
            raise UserError(f"cannot make the folder {folder}: {error.strerror or error}") from error
        return workspace

    def environment(self, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the variables for nnU-Net's commands: the user's own, but none of the settings of nnU-Net."""
        kept = {name: value for name, value in inherited.items() if not name.startswith("nnUNet_")}
        # threads that wait must not spin: on a machine that others use too, spinning makes a training ten times slower
        return {
            "OMP_WAIT_POLICY": "PASSIVE",
            **kept,
            **{folder.name: str(folder) for folder in (self.raw, self.preprocessed, self.results)},
            "nnUNet_extTrainer": str(self.trainers),
            "nnUNet_compile": "f",
            "nnUNet_def_n_proc": "1",  # every further worker of so small a task costs more than it saves
            "PYTHONUNBUFFERED": "1",
        }


def _require_space(folder: Path) -> None:
    existing = next(parent for parent in folder.parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < NEEDED_BYTES:
        raise UserError(
            f"the demo needs {NEEDED_BYTES / 1e6:.0f} MB of disk space, {existing} has {free / 1e6:.0f} MB; "
            "free some or give another folder with -o"
        )


def _remove_earlier_demo(folder: Path) -> None:
    """Remove what an earlier demo left, and nothing else: the folder stays, as a current one or a mount point must."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARKER).exists()):
        raise UserError(
            f"{folder} was not made by this command, so --overwrite leaves it alone; give another folder with -o"
        )
    for path in sorted(folder.iterdir(), key=lambda path: path.name == MARKER):  # known as a demo to the end
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
