"""The memory of a training's cases beside its checkpoints: written with them, read when it goes on."""

from __future__ import annotations

from pathlib import Path

import torch

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.nnunet_files.displacement_file import read_displacements, write_displacements


def save_cases(trust: CaseTrust, folder: Path) -> None:
    """Write what is remembered, where there is something."""
    if state := trust.displacement.state():
        write_displacements(folder, state)


def restore_cases(trust: CaseTrust, folder: Path, epoch: int, device: torch.device) -> None:
    """Go on with what `save_cases` wrote; a training that starts anew has nothing to go on with."""
    if epoch > 0 and (remembered := read_displacements(folder)):
        trust.displacement.restore(remembered, device)
