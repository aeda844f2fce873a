"""A case as nnU-Net preprocessed it, read with the question whether its files are whole.

A `.npz` has checksums. A `.b2nd` has none: a cut one cannot be opened, but changed bytes in it are unpacked to other
values without a word. What can be known of them is held against the rest: the labels against dataset.json and against
the voxels of each class that nnU-Net listed in the `.pkl`. Of a changed intensity nothing tells, unless it is not
finite.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import one_line
from nnunetv2_dale.nnunet_files.volume_reading import require_whole

_OUTSIDE = -1  # nnU-Net's mark for what lies outside the image
Read = TypeVar("Read")


def read_preprocessed_case(folder: Path, name: str, allowed: Collection[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read image (C, Z, Y, X) and labels (Z, Y, X) of a case; −1 lies outside the image.

    Args:
        folder: of one configuration, with the cases as `.b2nd`, or as `.npz` that may be unpacked to `.npy`.
        allowed: the label values of dataset.json.
    Raises:
        ValueError: names the file that is missing or damaged, and says what is wrong with it.
    """
    image_file, label_file = _array_files(folder, name)
    image = _read(image_file, lambda: _array(image_file, "data"))
    labels = _read(label_file, lambda: _array(label_file, "seg"))
    properties_file = folder / f"{name}.pkl"
    properties = _read(properties_file, lambda: dict(load_pickle(str(properties_file))))
    if image.ndim != 4 or not np.isfinite(image).all():
        raise ValueError(f"{image_file} is damaged: it has shape {image.shape}, or values that are not finite")
    if labels.shape != (1, *image.shape[1:]):
        raise ValueError(f"{label_file} has shape {labels.shape}, but its image has {image.shape}; preprocess it again")
    unknown = sorted(set(np.unique(labels).tolist()) - {_OUTSIDE, *allowed})
    if unknown:
        raise ValueError(f"{label_file} is damaged: it holds the label {unknown[0]}, which dataset.json does not know")
    if not _at_its_places(labels, properties.get("class_locations", {})):
        raise ValueError(f"{label_file} is damaged: its labels are not where {properties_file.name} lists them")
    return image, labels[0]


def _array_files(folder: Path, name: str) -> tuple[Path, Path]:
    if (folder / f"{name}.b2nd").exists():
        return folder / f"{name}.b2nd", folder / f"{name}_seg.b2nd"
    packed = folder / f"{name}.npz"
    image, labels = (
        unpacked if (unpacked := folder / f"{name}{part}.npy").exists() else packed for part in ("", "_seg")
    )
    return image, labels


def _array(file: Path, part: str) -> NDArray[Any]:
    if file.suffix == ".b2nd":
        import blosc2

        return np.asarray(blosc2.open(urlpath=str(file), mode="r", dparams={"nthreads": 1})[:])
    loaded = np.load(file)
    return np.asarray(loaded if file.suffix == ".npy" else loaded[part])


def _read(file: Path, read: Callable[[], Read]) -> Read:
    require_whole(file)
    try:
        return read()
    except Exception as error:  # readers of several libraries, each with its own exceptions
        raise ValueError(f"{file} is damaged, it cannot be read ({type(error).__name__}: {one_line(error)})") from error


def _at_its_places(labels: NDArray[Any], places: Mapping[Any, Any]) -> bool:
    """Whether each class, or group of classes, has its label at the voxels (0, z, y, x) that are listed for it."""
    return all(
        bool(np.isin(labels[tuple(np.asarray(voxels).T)], np.atleast_1d(values)).all())
        for values, voxels in places.items()
        if len(voxels)
    )
