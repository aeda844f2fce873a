"""Converts one case of a raw dataset, in a worker: its files, their checksums, and what its label shows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK

from nnunetv2_dale.convert.labels_in_padding import labelled_padding
from nnunetv2_dale.convert.plan import CaseFormat, CaseTargets, SourceCase
from nnunetv2_dale.nnunet_files.problems import Problem
from nnunetv2_dale.nnunet_files.volumes import values_in


@dataclass(frozen=True)
class ConvertedCase:
    """What a worker reports about one case.

    Attributes:
        problems: what is wrong with it.
        checksums: SHA-256 of each of its source files.
        values: of the label that was written.
        in_padding: voxels of classes beyond the scan (`labelled_padding`); of volumes only.
    """

    case: SourceCase
    problems: list[Problem]
    checksums: dict[str, str]
    values: frozenset[int] = frozenset()
    in_padding: int = 0


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
