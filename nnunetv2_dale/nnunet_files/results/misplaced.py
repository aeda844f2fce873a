"""Files whose voxels lie elsewhere in the patient than those of their reference: which, and what that means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.commands.command_line import first_of
from nnunetv2_dale.nnunet_files.geometry import GridDifference


@dataclass(frozen=True)
class Misplaced:
    """A file whose voxels lie elsewhere in the patient than those of the case's reference.

    `run` is None for the image; `differs` holds "origin", "direction", "spacing" or several; `apart_mm` is how far
    voxels of the same index lie apart at most.
    """

    case: str
    run: str | None
    file: str
    differs: tuple[str, ...]
    apart_mm: float


def misplaced_file(case: str, run: str | None, file: Path, found: GridDifference | None) -> list[Misplaced]:
    """Return the file, if its voxels were found elsewhere than the reference's; else nothing."""
    return [] if found is None else [Misplaced(case, run, file.name, found.differs, found.apart_mm)]


def misplaced_remarks(misplaced: Sequence[Misplaced]) -> list[str]:
    """Return a sentence for each run, and one for the images."""
    remarks = []
    for run in dict.fromkeys(item.run for item in misplaced):
        of_run = [item for item in misplaced if item.run == run]
        what = " and ".join(sorted({name for item in of_run for name in item.differs}))
        whose = "the images" if run is None else f"{run}: the predictions"
        consequence = (
            "The fuzzy region and the pictures put image and reference together voxel by voxel, as nnU-Net's training "
            "does."
            if run is None
            else "All numbers compare voxel by voxel, as nnU-Net's own summary.json does. If the stored positions are "
            "right, these numbers are wrong."
        )
        remarks.append(
            f"{whose} of {named_cases([item.case for item in of_run])} are stored with another {what} than the "
            f"references, up to {max(item.apart_mm for item in of_run):.1f} mm away. {consequence}"
        )
    return remarks


def named_cases(names: Sequence[str]) -> str:
    """Return "2 cases (c0, c1)", with at most five names."""
    return f"{len(names)} case{'s' * (len(names) != 1)} ({', '.join(first_of(names))})"
