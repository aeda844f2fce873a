"""Volumes kept as bare arrays (`.h5`, or one `.npz` per slice), which hold no geometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from nnunetv2_dale.convert.extras import require
from nnunetv2_dale.convert.label_values import to_labels
from nnunetv2_dale.convert.plan import CaseTargets, SourceCase
from nnunetv2_dale.nnunet_files.problems import Problem, attempt
from nnunetv2_dale.nnunet_files.volume_reading import require_whole
from nnunetv2_dale.nnunet_files.volume_writing import write_volume

_KEYS = ("image", "label")
Pair = tuple[NDArray[Any], NDArray[Any]]
Volume = tuple[NDArray[Any], NDArray[np.unsignedinteger[Any]]]


@dataclass(frozen=True)
class ArrayFormat:
    """Arrays named `image` and `label` in the same file, written as `.nii.gz` with a spacing that is given.

    A case is one `.h5` file, or several `.npz` files that are the slices of one volume in order.
    """

    label_map: Mapping[int, int]  # value in the file -> label
    spacing_mm: tuple[float, float, float]  # of slices, rows and columns (z, y, x)
    # order of the axes in an `.h5` file: "zyx", "xyz" (transposed on reading), or "slices", where the two axes of equal
    # length are rows and columns and the remaining one counts the slices (zyx where all are equal)
    axes: str = "zyx"
    ignore_label: int = 0  # what the labels of cases in `unlabelled` become, everywhere
    unlabelled: frozenset[str] = frozenset()  # names of cases whose labels are not to be used

    def file_ending(self, cases: Sequence[SourceCase]) -> str:
        """Return `.nii.gz`."""
        if any(path.suffix == ".h5" for case in cases for path in case.images):
            require("h5py")
        return ".nii.gz"

    def convert(self, case: SourceCase, targets: CaseTargets | None) -> list[Problem]:
        """Convert a case, see `CaseFormat.convert`."""
        problems: list[Problem] = []
        found = [attempt(problems, path, lambda path=path: self._read(path)) for path in case.images]  # type: ignore[misc]
        pairs = [pair for pair in found if pair is not None]
        shapes = {image.shape for image, _ in pairs}
        if len(shapes) > 1:
            problems.append(Problem(case.images[0], f"the slices of {case.name} differ in size: {sorted(shapes)}"))
        if problems:
            return problems
        image, labels = pairs[0] if len(pairs) == 1 else tuple(np.stack(each) for each in zip(*pairs, strict=True))
        if image.ndim != 3:
            return [Problem(case.images[0], f"has {image.ndim} axes; 3 are expected")]
        if targets is not None:
            order = self._order(image.shape) if case.images[0].suffix == ".h5" else (0, 1, 2)
            self._write(image.astype(np.float32).transpose(order), targets.images[0])
            if targets.label is not None:
                if case.name in self.unlabelled:
                    labels = np.full_like(labels, self.ignore_label)
                self._write(labels.transpose(order), targets.label)
        return problems

    def _read(self, path: Path) -> Volume:
        image, label = read_arrays(path)
        return image, to_labels(label, self.label_map)

    def _order(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        if self.axes == "xyz":
            return (2, 1, 0)
        if self.axes == "slices" and shape[0] == shape[1] != shape[2]:
            return (2, 0, 1)
        return (0, 1, 2)

    def _write(self, array: NDArray[np.generic], target: Path) -> None:
        volume = SimpleITK.GetImageFromArray(np.ascontiguousarray(array))
        volume.SetSpacing([float(edge) for edge in self.spacing_mm[::-1]])
        write_volume(volume, target)


def read_arrays(path: Path) -> Pair:
    """Read `image` and `label` of an `.h5` or `.npz` file, of equal shape.

    Raises:
        ValueError: damaged or unreadable, an array is missing, shapes differ, or an intensity is not finite.
    """
    require_whole(path)
    try:
        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file) as archive:
                arrays = {key: archive[key] for key in _KEYS if key in archive}
        else:
            with require("h5py").File(path, "r") as archive:
                arrays = {key: np.asarray(archive[key]) for key in _KEYS if key in archive}
    except (OSError, BadZipFile, EOFError, KeyError) as error:
        raise ValueError(f"cannot be read ({' '.join(str(error).split())})") from error
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise ValueError(f"holds no array named {' and none named '.join(missing)}")
    image, label = arrays["image"], arrays["label"]
    if image.shape != label.shape:
        raise ValueError(f"its label has the shape {label.shape}, its image {image.shape}")
    if not np.all(np.isfinite(image)):
        raise ValueError("its image holds values that are not finite")
    return image, label
