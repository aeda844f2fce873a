"""Files whose voxels lie elsewhere in the patient than those of their reference: which, and what that means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nnunetv2_dale.nnunet_files.results.case_files import CaseFiles
from nnunetv2_dale.report.report_data import Misplaced

if TYPE_CHECKING:
    from nnunetv2_dale.nnunet_files.geometry import GridDifference
    from nnunetv2_dale.report.measure_cases import MeasuredCase

_MOST_NAMES = 5


def misplaced_files(
    measured: Sequence[MeasuredCase], files: Sequence[CaseFiles], runs: Sequence[str]
) -> Iterator[Misplaced]:
    """Every image and prediction that lies elsewhere than its reference, case by case."""
    for case, found in zip(files, measured, strict=True):
        if found.image_grid is not None:
            yield _misplaced(case.case, None, case.images[0].name, found.image_grid)
        for run, prediction, measures in zip(runs, case.predictions, found.runs, strict=True):
            if measures.grid is not None:
                yield _misplaced(case.case, run, prediction.name, measures.grid)


def misplaced_remarks(misplaced: Sequence[Misplaced]) -> list[str]:
    """A sentence for each run, and one for the images."""
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
    """ "2 cases (c0, c1)", with at most five names."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{len(names)} case{'s' * (len(names) != 1)} ({', '.join(names[:_MOST_NAMES])}{more})"


def _misplaced(case: str, run: str | None, file: str, difference: GridDifference) -> Misplaced:
    return Misplaced(case, run, file, difference.differs, difference.apart_mm)
