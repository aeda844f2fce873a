"""Labels of several readers of the same images: converted each by itself, then joined into one dataset."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nnunetv2_dale.confidence.raters import write_consensus
from nnunetv2_dale.convert.plan import CaseTargets, DatasetPlan, SourceCase
from nnunetv2_dale.nnunet_files.confidence_table import READERS
from nnunetv2_dale.nnunet_files.raw_dataset import read_dataset


def labels_of_readers(
    case: SourceCase, folder: Path | None, ending: str
) -> Iterator[tuple[SourceCase, CaseTargets | None]]:
    """Yield a case with each reader's label, which is written without the image, into `ratersTr/READER` of `folder`."""
    for reader, file in case.readers.items():
        at = None
        if folder is not None:
            place = folder / READERS / reader
            place.mkdir(parents=True, exist_ok=True)
            at = CaseTargets((), place / f"{case.name}{ending}")
        yield replace(case, label=file), at


def join_readers(plan: DatasetPlan, folder: Path, processes: int) -> dict[str, object]:
    """Make one label, and how far to trust it, of those in `ratersTr`; they stay where each visit draws one.

    Returns:
        what the manifest says of it; nothing for a dataset without readers.
    """
    names = list(dict.fromkeys(name for case in plan.cases for name in case.readers))
    if not names:
        return {}
    source = read_dataset(folder)
    readers = {
        name: {case.name: folder / READERS / name / f"{case.name}{source.file_ending}" for case in source.cases}
        for name in names
    }
    made = write_consensus(source, readers, folder, plan.readers_become, processes)
    if plan.readers_become != "random":
        shutil.rmtree(folder / READERS)
    return {"readers": names, "target": plan.readers_become, "tied_voxels": made.tied_voxels}
