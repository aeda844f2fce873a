"""What a person did in a dataset that `apply` made, before another one takes its place."""

from __future__ import annotations

import filecmp
from pathlib import Path

import numpy as np

from nnunetv2_dale.audit.confidence_copy import lines_of
from nnunetv2_dale.audit.confidence_of_audit import MADE_CONFIDENCE, is_as_made
from nnunetv2_dale.audit.drafts import FOLDER, consensus_file, draft_file, draft_of
from nnunetv2_dale.nnunet_files.confidence_table import MAPS, READERS, TABLE
from nnunetv2_dale.nnunet_files.placing import spacing_file
from nnunetv2_dale.nnunet_files.problems import Problem
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset
from nnunetv2_dale.nnunet_files.volumes import read_label

OWN_FILES = {
    "dataset.json",
    "splits_final.json",
    "splits_patients.json",
    "to_fix.csv",
    "audit_decisions.csv",
    MADE_CONFIDENCE,
}


def hand_work(source: RawDataset, made: Path, audit: Path) -> list[Problem]:
    """List labels and drafts that were mended by hand, and files that somebody added.

    `apply` copies labels byte for byte: one that differs from the source's was changed by somebody.

    Args:
        source: the audited dataset.
        made: folder of the dataset that an earlier `apply` made of it.
        audit: folder of the audit, whose consensus the drafts are.
    """
    return [
        Problem(file, "was mended or added by hand, or is of another audit; move it, or give another id with --new_id")
        for file in sorted(made.rglob("*"))
        if file.is_file() and not file.name.startswith(".") and _is_by_hand(file.relative_to(made), source, made, audit)
    ]


def _is_by_hand(name: Path, source: RawDataset, made: Path, audit: Path) -> bool:
    if str(name) in OWN_FILES:
        return False
    if is_as_made(name, made):
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
