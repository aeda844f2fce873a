"""Labels and images of cases, read with nnU-Net's readers: the one place where commands open them, with one policy.

A label may hold what dataset.json knows, an image finite intensities; anything else is refused by the file's name. So
is a file that is not whole. What nnU-Net's reader makes finite is finite here too: ITK reads NaN in NIfTI as 0.
"""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import UserError, one_line
from nnunetv2_dale.nnunet_files.problems import FileError
from nnunetv2_dale.nnunet_files.volume_reading import require_whole

if TYPE_CHECKING:
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

_ROUNDING, _LARGEST = 1e-3, 32767  # nnU-Net keeps labels in 16 bits
Properties = dict[str, Any]
"""What nnU-Net's readers return beside the voxels; `spacing` is in mm, in the order of the axes."""


def reader_of(
    dataset_json: Mapping[str, Any], example: Path | None, plans: Mapping[str, Any] | None = None
) -> BaseReaderWriter:
    """Return the reader/writer that nnU-Net uses for a dataset's files.

    Args:
        example: an image or label, by which readers of one ending are told apart; None takes the first.
        plans: of a training, which name the reader that it used.
    Raises:
        UserError: the example is damaged, or nnU-Net has no reader for it.
    """
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    named = dataset_json.get("overwrite_image_reader_writer") or (plans or {}).get("image_reader_writer") or "None"
    described = {"overwrite_image_reader_writer": named, "file_ending": dataset_json["file_ending"]}
    if example is not None:
        require_whole(example)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a traceback for each of nnU-Net's readers that fails
            found = determine_reader_writer_from_dataset_json(described, example and str(example), verbose=False)
    except RuntimeError as error:
        raise UserError(f"nnU-Net has no reader for files like {example or dataset_json['file_ending']}") from error
    reader: BaseReaderWriter = found()
    return reader


def label_values(labels: Mapping[str, Any]) -> frozenset[int]:
    """Return every value a label file may hold: background, classes or members of regions, and the ignore label."""
    values = {0}
    for value in labels.values():
        values.update(map(int, value) if isinstance(value, list | tuple) else [int(value)])
    return frozenset(values)


def read_label(
    reader: BaseReaderWriter, file: Path, allowed: Collection[int] | None
) -> tuple[NDArray[np.int16], Properties]:
    """Read a label or a prediction.

    Args:
        allowed: the values it may hold, within rounding; None, where no dataset.json is at hand, any whole number.
    Returns:
        (Z, Y, X), where a 2D image has Z = 1.
    Raises:
        FileError: damaged or unreadable, more than one channel, or values that are not allowed.
    """
    data, properties = read_values(reader, file)
    found = np.unique(whole_numbers(values_in(data)))
    whole = (found == np.rint(found)) & (np.abs(found) <= _LARGEST)
    known = whole if allowed is None else np.isin(found, list(allowed))
    if not known.all():
        count = np.count_nonzero(~np.isin(whole_numbers(data), found[known]))
        values = ", ".join(f"{value:.10g}" for value in found[~known][:5])
        expected = (
            f"whole numbers up to {_LARGEST} are expected"
            if allowed is None
            else f"dataset.json knows only {sorted(allowed)}"
        )
        raise FileError(file, f"holds the label {values} ({_voxels(count)}), but {expected}")
    return np.rint(data).astype(np.int16), properties


def read_values(reader: BaseReaderWriter, file: Path) -> tuple[NDArray[Any], Properties]:
    """Read any map of one value per voxel, as it is: (Z, Y, X), where a 2D image has Z = 1.

    Raises:
        FileError: damaged or unreadable, or more than one channel.
    """
    require_whole(file)
    try:
        data, properties = reader.read_seg(str(file))
    except Exception as error:  # readers of several libraries, each with its own exceptions
        raise FileError(file, f"cannot be read as an image ({one_line(error)})") from error
    if data.shape[0] != 1:
        raise FileError(file, f"has the shape {data.shape}; a label has one value per voxel in three axes")
    return data[0], dict(properties)


def read_image(reader: BaseReaderWriter, files: Sequence[Path]) -> tuple[NDArray[np.float32], Properties]:
    """Read the channels of a case: (C, Z, Y, X), where a 2D image has Z = 1.

    Raises:
        FileError: damaged or unreadable, channels of different shapes, or intensities that are not finite.
    """
    for file in files:
        require_whole(file)
    try:
        data, properties = reader.read_images([str(file) for file in files])
    except Exception as error:  # readers of several libraries, each with its own exceptions
        reason = one_line(error) if str(error) else "the channels differ in shape or spacing"
        raise FileError(files[0], f"cannot be read as an image ({reason})") from error
    for number, channel in enumerate(data):
        if not np.isfinite(channel).all():
            count = np.count_nonzero(~np.isfinite(channel))
            what = f"holds NaN or infinite intensities ({_voxels(count)}); replace them by numbers"
            raise FileError(files[min(number, len(files) - 1)], what)  # one file may hold several channels: colours
    return data, dict(properties)


def whole_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Return floats that are whole numbers within rounding as exactly these numbers; anything else as it is.

    Some tools store a 1 as 0.9999, or as the float before 1.
    """
    if values.dtype.kind != "f":
        return values
    rounded = np.rint(values)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return rounded if np.all(np.abs(values - rounded) <= _ROUNDING) else values


def values_in(label: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a label, ascending; neighbours are mostly equal, so that few are left to be sorted."""
    flat = label.ravel()
    starts = np.ones(flat.size, np.bool_)
    np.not_equal(flat[1:], flat[:-1], out=starts[1:])
    return np.unique(flat[starts])


def _voxels(count: int | np.intp) -> str:
    return f"in {count} voxel{'' if count == 1 else 's'}"


def label_checksum(labels: NDArray[Any]) -> str:
    """Return CRC-32 of the voxels in C order, eight hexadecimal digits.

    Args:
        labels: of one type for all that are compared: the checksum is of the bytes in memory.
    """
    return f"{zlib.crc32(np.ascontiguousarray(labels).data):08x}"
