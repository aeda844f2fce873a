"""Masks and images read with nnU-Net's own readers, checked against their reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.reader_writer_registry import (
    determine_reader_writer_from_file_ending,
    recursive_find_reader_writer_by_name,
)
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.geometry import Grid, grid_of
from nnunetv2_dale.nnunet_files.volume_reading import require_whole

Reader = type[BaseReaderWriter]


@dataclass(frozen=True)
class Volume:
    """A label map, 2D where one of its axes has a single voxel: a slice is a slice, whichever way it is stored.

    Attributes:
        labels: without the axis of one voxel.
        spacing_mm: of the axes of `labels`.
        slice_axis: the axis that was left out, counted in the file's (Z, Y, X); None in 3D.
        grid: where the file's voxels lie; None where its format does not say.
    """

    labels: NDArray[np.int16]
    spacing_mm: tuple[float, ...]
    slice_axis: int | None
    grid: Grid | None


@dataclass(frozen=True)
class Image:
    """The channels of a case, (C, *S) with S the shape of its reference's `labels`, and where its voxels lie."""

    channels: NDArray[np.float32]
    grid: Grid | None


def read_labels(file: Path, reader: Reader) -> Volume:
    """Read a mask; a volume of one slice loses its slice axis."""
    segmentation, properties = _read([file], lambda: reader().read_seg(str(file)))
    # A copy: the reader's own array can be read-only, and is larger.
    labels = np.rint(segmentation[0]).astype(np.int16)
    spacing = tuple(float(value) for value in properties["spacing"])
    grid = grid_of(properties, labels.shape)
    if 1 not in labels.shape:
        return Volume(labels, spacing, None, grid)
    axis = labels.shape.index(1)
    return Volume(np.squeeze(labels, axis), spacing[:axis] + spacing[axis + 1 :], axis, grid)


def read_prediction(file: Path, reference_file: Path, reference: Volume, reader: Reader) -> Volume:
    """Read a prediction and check that it has the reference's voxels, though perhaps in other places (`grid`)."""
    prediction = read_labels(file, reader)
    if (prediction.labels.shape, prediction.slice_axis) != (reference.labels.shape, reference.slice_axis):
        raise UserError(
            f"{file} has shape {_stored_shape(prediction)}, but its reference {reference_file} has "
            f"{_stored_shape(reference)}; predict it again"
        )
    if not np.allclose(prediction.spacing_mm, reference.spacing_mm, rtol=1e-3, atol=0):
        raise UserError(
            f"{file} has voxel spacing {prediction.spacing_mm} mm, but its reference {reference_file} has "
            f"{reference.spacing_mm} mm; predict it again"
        )
    return prediction


def read_image(files: Sequence[Path], reader: Reader, reference: Volume, reference_file: Path) -> Image:
    """Read the channels of an image and check that it has the reference's voxels."""
    stored, properties = _read(files, lambda: reader().read_images([str(file) for file in files]))
    expected = _stored_shape(reference)
    if stored.shape[1:] != expected:
        raise UserError(
            f"{files[0]} has shape {stored.shape[1:]}, but its reference {reference_file} has {expected}; "
            "give the folder of its images with --images"
        )
    channels = stored if reference.slice_axis is None else np.squeeze(stored, reference.slice_axis + 1)
    # NaN and infinities of broken scanners are no grey values.
    finite = np.nan_to_num(channels.astype(np.float32, copy=False), copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return Image(finite, grid_of(properties, expected))


def reader_of(plans: Mapping[str, Any], dataset_json: Mapping[str, Any], ending: str) -> Reader:
    """The reader nnU-Net uses for the dataset's masks: the plans' own, else the first for the file ending.

    Raises:
        UserError: nnU-Net has no reader for the ending.
    """
    named = dataset_json.get("overwrite_image_reader_writer", plans.get("image_reader_writer"))
    try:
        if named and named != "None":
            reader = recursive_find_reader_writer_by_name(named)
        else:
            reader = determine_reader_writer_from_file_ending(ending, verbose=False)
    except RuntimeError as error:
        raise UserError(f"nnU-Net has no reader for {named or ending} masks; use --summary-only") from error
    return reader  # type: ignore[no-any-return]


def _stored_shape(volume: Volume) -> tuple[int, ...]:
    """(Z, Y, X) of the file."""
    shape = volume.labels.shape
    return shape if volume.slice_axis is None else (*shape[: volume.slice_axis], 1, *shape[volume.slice_axis :])


def _read(
    files: Sequence[Path], read: Callable[[], tuple[NDArray[Any], dict[str, Any]]]
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Every file that a report opens as an image is opened here."""
    for file in files:
        try:
            require_whole(file)
        except ValueError as error:
            raise UserError(f"{file} {error}") from error
    try:
        return read()
    except Exception as error:  # each of nnU-Net's readers raises its own library's errors
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{files[0]} cannot be read as an image: {reason}") from error
