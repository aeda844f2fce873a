"""Masks and images as a report compares them: checked against their reference, 2D where a file has one slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from nnunetv2_dale.nnunet_files.geometry import Grid, grid_of, require_same_voxels
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder
from nnunetv2_dale.nnunet_files.volumes import Properties, label_values, read_image, read_label, reader_of

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter


@dataclass(frozen=True)
class Volume:
    """A label map or an image, 2D where one of its axes has a single voxel: a slice is one however it is stored."""

    voxels: NDArray[Any]  # labels (*S), or the channels of an image (C, *S), without the axis of one voxel
    spacing_mm: tuple[float, ...]  # of the axes S
    grid: Grid | None  # where the file's voxels lie; None where its format does not say
    file: Path  # what it was read from; shape and properties are as it is stored there, (Z, Y, X)
    shape: tuple[int, ...]
    properties: Properties


@dataclass(frozen=True)
class MaskReader:
    """How the masks and images of a dataset are read."""

    reader: BaseReaderWriter
    allowed: frozenset[int] | None  # the values that masks may hold; None where no dataset.json is at hand

    def label(self, file: Path) -> Volume:
        """Return a reference."""
        labels, properties = read_label(self.reader, file, self.allowed)
        return _volume(labels, labels.shape, properties, file)

    def prediction(self, file: Path, reference: Volume) -> Volume:
        """Return a prediction, which has the reference's voxels, though perhaps in other places (`grid`)."""
        return _of(reference, self.label(file), "validate again (nnUNetv2_train … --val)")

    def image(self, files: Sequence[Path], reference: Volume) -> Volume:
        """Return the channels of the reference's image, which has its voxels."""
        channels, properties = read_image(self.reader, files)
        found = _volume(channels, channels.shape[1:], properties, files[0])
        return _of(reference, found, "give the folder of its images (--images)")


def mask_reader(folder: ResultFolder, example: Path) -> MaskReader:
    """Return the reader of a result folder's masks.

    Args:
        example: one of them.
    """
    described = {**folder.dataset_json, "file_ending": folder.file_ending}
    labels = folder.dataset_json.get("labels")
    return MaskReader(reader_of(described, example, folder.plans), None if labels is None else label_values(labels))


def _volume(voxels: NDArray[Any], shape: tuple[int, ...], properties: Properties, file: Path) -> Volume:
    axes = [axis for axis, size in enumerate(shape) if size > 1 or 1 in shape[:axis]]  # all but the first of one voxel
    spacing = tuple(float(properties["spacing"][axis]) for axis in axes)
    form = (*voxels.shape[: voxels.ndim - len(shape)], *(shape[axis] for axis in axes))
    return Volume(voxels.reshape(form), spacing, grid_of(properties, shape), file, shape, properties)


def _of(reference: Volume, found: Volume, remedy: str) -> Volume:
    mine, theirs = ((each.shape, each.properties) for each in (found, reference))
    require_same_voxels(found.file, mine, reference.file, theirs, remedy)
    return found
