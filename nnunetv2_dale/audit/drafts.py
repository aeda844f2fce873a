"""Drafts of labels to fix: what the networks find together, in the label's own format and geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.audit.maps import map_file
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset
from nnunetv2_dale.nnunet_files.volume_reading import require_whole
from nnunetv2_dale.nnunet_files.volume_writing import write_label
from nnunetv2_dale.nnunet_files.volumes import read_label

FOLDER = "drafts"


def draft_file(dataset: Path, case: str, ending: str) -> Path:
    """Say where the draft of a case lies in a dataset."""
    return dataset / FOLDER / f"{case}_draft_by_networks{ending}"


def consensus_file(audit: Path, case: str) -> Path:
    """Return the audit's map that a draft is made of.

    Raises:
        UserError: there is none.
    """
    found = map_file(audit / "maps", case, "consensus")
    if not found.is_file():
        raise UserError(
            f"{found} is missing, the draft of a label to fix; give the audit's folder with --audit, or audit again"
        )
    return found


def write_draft(source: RawDataset, case: RawCase, consensus: Path, dataset: Path) -> None:
    """Write the draft of a case into a new dataset.

    Raises:
        UserError: as `draft_of`.
    """
    draft, properties = draft_of(source, case, consensus)
    target = draft_file(dataset, case.name, source.file_ending)
    target.parent.mkdir(exist_ok=True)
    write_label(source.reader(), draft, target, properties)


def draft_of(source: RawDataset, case: RawCase, consensus: Path) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """Return the consensus (Z, Y, X) with the label's properties; the ignore label stays where it was.

    Raises:
        UserError: no label, or a file that is damaged or of another shape.
    """
    if case.label is None:
        raise UserError(f"case {case.name} of {source.folder} has no label to fix")
    label, properties = read_label(source.reader(), case.label, source.label_values)
    try:
        require_whole(consensus)
    except ValueError as error:
        raise UserError(f"{consensus} {error}; audit again") from error
    draft = np.asarray(nibabel.Nifti1Image.from_filename(consensus).dataobj).transpose(2, 1, 0)
    if draft.shape != label.shape:
        raise UserError(f"{consensus} has shape {draft.shape}, but {case.label} has {label.shape}; audit again")
    if source.ignore_label is not None:
        draft = np.where(label == source.ignore_label, source.ignore_label, draft)
    return draft.astype(np.int16), properties
