"""Converts one case of a raw dataset, in a worker: its files, their checksums, and what its label shows."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import first_of
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.convert.plan import CaseFormat, CaseTargets, SourceCase
from nnunetv2_dale.nnunet_files.problems import Problem
from nnunetv2_dale.nnunet_files.volumes import values_in

logger = logging.getLogger(__name__)


def labelled_padding(image: NDArray[Any], labelled: NDArray[np.bool_]) -> int:
    """How many labelled voxels lie in slices at an end of the volume that hold one value, the same in all of them."""
    padding = np.zeros(image.shape, bool)
    for axis in range(image.ndim):
        others = tuple(other for other in range(image.ndim) if other != axis)
        lowest, highest = image.min(axis=others), image.max(axis=others)
        along, mask = np.moveaxis(image, axis, 0), np.moveaxis(padding, axis, 0)
        for end, step in ((0, 1), (len(along) - 1, -1)):
            is_value = (lowest[::step] == lowest[end]) & (highest[::step] == lowest[end])
            run = int(np.argmin(is_value)) if not is_value.all() else len(is_value)
            mask[::step][:run] = True
    return int(np.count_nonzero(labelled & padding))


def warn_of_padding(voxels: Mapping[str, int]) -> None:
    """Log the cases, case → `labelled_padding`, whose labels go on in padding; the largest first."""
    found = sorted(((count, case) for case, count in voxels.items() if count), reverse=True)
    if found:
        named = ", ".join(first_of([f"{case} ({counted(count, 'voxel')})" for count, case in found]))
        logger.warning("labels go on beyond the scan, where the image is only padding: %s; look at them", named)


@dataclass(frozen=True)
class ConvertedCase:
    """What a worker reports about one case."""

    case: SourceCase
    problems: list[Problem]  # what is wrong with it
    checksums: dict[str, str]  # SHA-256 of each of its source files
    values: frozenset[int] = frozenset()  # of the label that was written
    in_padding: int = 0  # voxels of classes beyond the scan (`labelled_padding`); of volumes only


def convert_case(
    case_format: CaseFormat, parts: Sequence[tuple[SourceCase, CaseTargets | None]], ignore_label: int
) -> ConvertedCase:
    """Convert a case, of several readers part by part: first the image, then each label."""
    case, targets = parts[0]
    problems = list(dict.fromkeys(problem for part, at in parts for problem in case_format.convert(part, at)))
    if targets is None or problems:
        return ConvertedCase(case, problems, {})
    checksums = {str(path): _sha256(path) for path in case.files}
    labels = [at.label for _, at in parts if at is not None and at.label is not None]
    if not labels or case.test_set is not None:
        return ConvertedCase(case, problems, checksums)
    arrays = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(label))) for label in labels]
    values = frozenset(value for array in arrays for value in map(int, values_in(array).tolist()))
    if arrays[0].ndim < 3 or values <= {0, ignore_label}:
        return ConvertedCase(case, problems, checksums, values)
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(targets.images[0])))
    in_padding = max(labelled_padding(image, (array != 0) & (array != ignore_label)) for array in arrays)
    return ConvertedCase(case, problems, checksums, values, in_padding)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
