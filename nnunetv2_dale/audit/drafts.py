"""Drafts of labels to fix: what the networks find together, in the label's own format and geometry.

And what a person made of them in a dataset of `apply`, before another one takes its place.
"""

from __future__ import annotations

import filecmp
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.audit.confidence_of_audit import MADE_CONFIDENCE, is_as_made
from nnunetv2_dale.audit.maps import map_file, read_map
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.confidence_table import MAPS, READERS, TABLE, lines_of
from nnunetv2_dale.nnunet_files.folders import SPLITS
from nnunetv2_dale.nnunet_files.placing import spacing_file
from nnunetv2_dale.nnunet_files.problems import Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset
from nnunetv2_dale.nnunet_files.splits import PATIENTS
from nnunetv2_dale.nnunet_files.target import DECIDED_COPY
from nnunetv2_dale.nnunet_files.volume_writing import write_label
from nnunetv2_dale.nnunet_files.volumes import read_label

FOLDER = "drafts"
OWN_FILES = ("dataset.json", SPLITS, PATIENTS, "to_fix.csv", DECIDED_COPY, MADE_CONFIDENCE)


def draft_file(dataset: Path, case: str, ending: str) -> Path:
    """Say where the draft of a case lies in a dataset."""
    return dataset / FOLDER / f"{case}_draft_by_networks{ending}"


def consensus_file(audit: Path, case: str) -> Path:
    """Return the audit's map that a draft is made of; a `UserError` where there is none."""
    found = map_file(audit / "maps", case, "consensus")
    if not found.is_file():
        raise UserError(
            f"{found} is missing, the draft of a label to fix; give the audit's folder with --audit, or audit again"
        )
    return found


def write_draft(source: RawDataset, case: RawCase, consensus: Path, dataset: Path) -> None:
    """Write the draft of a case into a new dataset."""
    draft, properties = draft_of(source, case, consensus)
    target = draft_file(dataset, case.name, source.file_ending)
    target.parent.mkdir(exist_ok=True)
    write_label(source.reader(), draft, target, properties)


def draft_of(source: RawDataset, case: RawCase, consensus: Path) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """Return the consensus (Z, Y, X) with the label's properties; the ignore label stays where it was."""
    if case.label is None:
        raise UserError(f"case {case.name} of {source.folder} has no label to fix")
    label, properties = read_label(source.reader(), case.label, source.label_values)
    draft = read_map(consensus, label.shape)
    if source.ignore_label is not None:
        draft = np.where(label == source.ignore_label, source.ignore_label, draft)
    return draft.astype(np.int16), properties


def hand_work(source: RawDataset, made: Path, audit: Path) -> list[Problem]:
    """List labels and drafts that were mended by hand, and files that somebody added.

    `apply` copies labels byte for byte: one that differs from the source's was changed by somebody.
    """
    return [
        Problem(file, "was mended or added by hand, or is of another audit; move it, or give another id with --new_id")
        for file in sorted(made.rglob("*"))
        if file.is_file() and not file.name.startswith(".") and _is_by_hand(file.relative_to(made), source, made, audit)
    ]


def _is_by_hand(name: Path, source: RawDataset, made: Path, audit: Path) -> bool:
    if str(name) in OWN_FILES or is_as_made(name, made):
        return False
    if name.parts[0] == FOLDER:
        return not _is_draft_of_the_networks(made / name, source, made, audit)
    original = source.folder / name
    if not original.is_file():
        return True
    if str(name) == TABLE:
        cases = {file.name.removesuffix(source.file_ending)[: -len("_0000")] for file in (made / "imagesTr").iterdir()}
        return (made / name).read_bytes() != lines_of(original, cases)
    return name.parts[0].startswith(("labels", MAPS, READERS)) and not filecmp.cmp(original, made / name, shallow=False)


def _is_draft_of_the_networks(file: Path, source: RawDataset, made: Path, audit: Path) -> bool:
    for case in source.cases:
        draft = draft_file(made, case.name, source.file_ending)
        if file == spacing_file(draft):
            return True
        if file == draft:
            try:
                expected, _ = draft_of(source, case, consensus_file(audit, case.name))
                found, _ = read_label(source.reader(), file, source.label_values)
            except ValueError:  # nothing to compare it with
                return False
            return np.array_equal(expected, found)
    return False
