"""The memory of a training's cases beside its checkpoints: written with them, read when it goes on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.displacement_file import (
    FILE,
    State,
    read_displacements,
    read_label_checksums,
    write_displacements,
)
from nnunetv2_dale.nnunet_files.volumes import label_checksum
from nnunetv2_dale.trainer.unlabelled_cases import first_few

# From the first of these that is there a training goes on (nnU-Net's order), so the memory is of that one's epoch.
_GOES_ON_FROM = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")


def label_checksums(dataset: Any, cases: Iterable[str]) -> dict[str, str]:
    """Return the checksum of each case's preprocessed label map, whatever format its file has.

    Args:
        dataset: one of nnU-Net's, with `load_case`.
    """
    stored = getattr(dataset, "as_stored", dataset)  # of several readers each visit draws one
    return {case: label_checksum(np.asarray(stored.load_case(case)[1][:])) for case in cases}


def save_cases(state: State, checkpoint: Path, labels: Mapping[str, str], classes: Sequence[str]) -> None:
    """Write what is remembered, where there is something and the checkpoint is the one to go on from.

    Args:
        state: of `CaseDisplacement`.
        checkpoint: just written.
        labels: of `label_checksums`.
        classes: the name of each output of the network.
    """
    there = [name for name in _GOES_ON_FROM if name == checkpoint.name or (checkpoint.parent / name).exists()]
    if state and there[:1] == [checkpoint.name]:
        write_displacements(checkpoint.parent, state, labels, classes)


def restore_cases(
    trust: CaseTrust,
    folder: Path,
    training_cases: Collection[str],
    heads: int,
    labels: Mapping[str, str],
    device: torch.device,
    left_out: Collection[str] = (),
) -> list[str]:
    """Go on with what `save_cases` wrote, but for cases whose labels have changed; a lost file is learned again.

    Args:
        training_cases: of this fold.
        heads: of the network: classes with background, or regions.
        labels: of `label_checksums`; the memory of a case that had another label is not taken over.
        left_out: cases of the dataset that have weight 0 now; what is remembered of them is forgotten.
    Returns:
        sentences on what has changed.
    Raises:
        RuntimeError: a file of other cases, or of another number of classes.
    """
    remembered = read_displacements(folder)
    if not remembered:
        return []
    out = set(remembered) & set(left_out)
    others = sorted(set(remembered) - set(training_cases) - out)
    if others:
        raise RuntimeError(
            f"{folder / FILE} is of another training: {counted(len(others), 'of its cases is', 'of its cases are')} no "
            f"training case of this fold, first {others[0]}; delete it to let the training learn them again"
        )
    sums = {len(part) for parts in remembered.values() for part in parts}
    if sums != {heads}:
        raise RuntimeError(
            f"{folder / FILE} is of another training: expected {heads} sums per case, one for each output of the "
            f"network, found {' or '.join(map(str, sorted(sums)))}; delete it to let the training learn them again"
        )
    then = read_label_checksums(folder)
    changed = [case for case in remembered if case in then and labels.get(case, then[case]) != then[case]]
    kept = {case: sums for case, sums in remembered.items() if case not in {*changed, *out}}
    trust.displacement.restore(kept, device)
    new = set(training_cases) - set(then) if then else set()
    sentences = {
        "labels that have changed since the checkpoint, so that what was remembered is forgotten": changed,
        "cases that have weight 0 since the checkpoint, so that what was remembered is forgotten": out,
        "training cases that are new since the checkpoint": new,
    }
    return [f"{what}: {len(cases)} ({first_few(cases)})" for what, cases in sentences.items() if cases]
