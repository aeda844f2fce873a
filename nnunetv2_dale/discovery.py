"""How stock nnU-Net finds our trainers: their folder joins `nnUNet_extTrainer` when Python starts.

nnU-Net looks for trainers it does not ship in the folders named by the environment variable `nnUNet_extTrainer`. A
`.pth` file in the wheel (see `discovery_build`) calls `append_trainer_folder` at the start of every interpreter of the
environment, so console scripts, spawned workers and cluster jobs all find them. That start must stay fast: only `os` is
imported, which Python has loaded by then (pathlib or typing would cost milliseconds).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

SEARCH_PATH_VARIABLE = "nnUNet_extTrainer"
OPT_OUT_VARIABLE = "NNUNETV2_DALE_NO_AUTODISCOVERY"
RE_EXPORTS_FILE = "nnunetv2_dale_trainers.py"


def trainer_folder(library: str | None = None) -> str | None:
    """Find the folder of re-exports that nnU-Net is to scan.

    Args:
        library: the folder of the `nnunetv2_dale` package; None means the one this module lies in.
    Returns:
        `trainers` inside the library (installed from a wheel) or beside it (editable install, checkout); None when
        neither holds the re-exports, or when its path holds the separator of `nnUNet_extTrainer`, which has no escape.
    """
    library = library or os.path.dirname(os.path.abspath(__file__))
    for parent in (library, os.path.dirname(library)):
        folder = os.path.join(parent, "trainers")
        if os.pathsep not in folder and os.path.isfile(os.path.join(folder, RE_EXPORTS_FILE)):
            return folder
    return None


def append_trainer_folder(environment: MutableMapping[str, str] = os.environ) -> None:
    """Append our trainers to `nnUNet_extTrainer`, after whatever the user has put there.

    Nothing changes when the folder is listed already (as in a child process), when `NNUNETV2_DALE_NO_AUTODISCOVERY` is
    set to anything but an empty string, or when there is no folder to append. The trainers of another environment's
    copy (inherited from a parent process) stay, but behind ours, so that trainers and library are of one version.

    Args:
        environment: the variables to change.
    """
    folder = trainer_folder()
    if environment.get(OPT_OUT_VARIABLE) or folder is None:
        return
    entries = [entry for entry in environment.get(SEARCH_PATH_VARIABLE, "").split(os.pathsep) if entry.strip()]
    if any(os.path.abspath(entry) == folder for entry in entries):
        return
    other_copies = [i for i, entry in enumerate(entries) if os.path.isfile(os.path.join(entry, RE_EXPORTS_FILE))]
    entries.insert(min(other_copies, default=len(entries)), folder)
    environment[SEARCH_PATH_VARIABLE] = os.pathsep.join(entries)
