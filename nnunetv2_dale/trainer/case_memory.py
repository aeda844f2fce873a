"""The memory of a training's cases beside its checkpoints: written with them, read when it goes on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.nnunet_files.displacement_file import FILE, read_displacements, write_displacements

# From the first of these that is there a training goes on (nnU-Net's order), so the memory is of that one's epoch.
_GOES_ON_FROM = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")


def save_cases(trust: CaseTrust, checkpoint: Path) -> None:
    """Write what is remembered, where there is something and the checkpoint is the one to go on from.

    Args:
        checkpoint: just written.
    """
    there = [name for name in _GOES_ON_FROM if name == checkpoint.name or (checkpoint.parent / name).exists()]
    if there[:1] == [checkpoint.name] and (state := trust.displacement.state()):
        write_displacements(checkpoint.parent, state)


def restore_cases(
    trust: CaseTrust, folder: Path, training_cases: Collection[str], heads: int, device: torch.device
) -> None:
    """Go on with what `save_cases` wrote; a lost file is learned again.

    Args:
        training_cases: of this fold.
        heads: of the network: classes with background, or regions.
    Raises:
        RuntimeError: a file of other cases, or of another number of classes.
    """
    remembered = read_displacements(folder)
    if not remembered:
        return
    others = sorted(set(remembered) - set(training_cases))
    if others:
        raise RuntimeError(
            f"{folder / FILE} is of another training: {len(others)} of its {len(remembered)} cases, first {others[0]}, "
            "are no training cases of this fold; delete it to let the training learn them again"
        )
    sums = {len(part) for parts in remembered.values() for part in parts}
    if sums != {heads}:
        raise RuntimeError(
            f"{folder / FILE} is of another training: expected {heads} sums per case, one for each output of the "
            f"network, found {' or '.join(map(str, sorted(sums)))}; delete it to let the training learn them again"
        )
    trust.displacement.restore(remembered, device)
