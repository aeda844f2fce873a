"""nnU-Net's `.npz` probabilities, one class at a time: a CT's with fifteen classes would not fit into memory.

Of regions that cross each other they say what label maps cannot hold. nnU-Net paints one label per region, in the order
of `regions_class_order`; the last one stays. Where regions are nested this reads back as the regions that were meant.
Where they cross it does not: of (1, 3, 5), (2, 3) and (4, 5) a voxel of the last is painted 3, which is of the others.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.results.class_keys import class_labels

MEMBER = "probabilities.npy"
Region = Collection[int]


def npz_channels(file: Path, shape: Sequence[int], channels: int) -> Iterator[NDArray[np.float32]]:
    """Yield the probability maps (Z, Y, X) of a file, as nnU-Net's channels: classes from background on, or regions.

    Args:
        file: CASE.npz beside a prediction, as `--npz` writes it.
    Raises:
        UserError: no such file of nnU-Net, another number of maps, or maps of another shape.
    """
    try:
        with zipfile.ZipFile(file) as archive, archive.open(MEMBER) as stream:
            version = np.lib.format.read_magic(stream)
            headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            full_shape, fortran, kind = headers[version](stream)
            if tuple(full_shape[1:]) != tuple(shape) or fortran:
                raise UserError(
                    f"{file} holds probabilities of shape {tuple(full_shape)}, but the prediction beside it has shape "
                    f"{tuple(shape)}; validate again with --npz, or delete it"
                )
            if full_shape[0] != channels:
                raise UserError(
                    f"{file} holds {full_shape[0]} maps of probabilities, but the networks of this dataset.json have "
                    f"{channels}; validate again with --npz, or delete it"
                )
            size = int(np.prod(shape)) * kind.itemsize
            for _ in range(full_shape[0]):
                channel = np.frombuffer(stream.read(size), kind).reshape(shape)
                yield channel.astype(np.float32, copy=False)
            stream.read(1)  # at its end the checksum is compared
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{file} holds no probabilities of nnU-Net ({error}); validate again with --npz, or delete it"
        ) from error


def reads_back(regions: Sequence[Region], order: Sequence[int]) -> bool:
    """Say whether the label map of a network that is always right says what the network meant.

    Args:
        regions: label values of each, in nnU-Net's order.
        order: `regions_class_order`, a label for each region.
    """
    values = {value for region in regions for value in region}
    painted = {
        value: [label for region, label in zip(regions, order, strict=True) if value in region] for value in values
    }
    return all(_code(value, regions) == _code(painted[value][-1], regions) for value in values)


def decoded(channels: Iterable[NDArray[np.float32]], regions: Sequence[Region]) -> NDArray[np.int16]:
    """Return the label map whose regions are those that the channels find (from a probability of 0.5).

    Where no label belongs to just these regions, the label that differs in the fewest.
    """
    found = sum((channel >= 0.5).astype(np.int64) << place for place, channel in enumerate(channels))
    codes = {value: _code(value, regions) for value in (0, *sorted({each for region in regions for each in region}))}
    nearest = [min(codes, key=lambda value: (codes[value] ^ code).bit_count()) for code in range(1 << len(regions))]
    labels: NDArray[np.int16] = np.array(nearest, np.int16)[found]
    return labels


def label_map_of(
    prediction: Path, npz: Path | None, shape: Sequence[int], task: AuditTask
) -> NDArray[np.uint8] | NDArray[np.int16]:
    """Return what a network found of crossing regions, from its probabilities; a `UserError` without any."""
    if npz is None:
        raise UserError(
            f"{prediction} cannot say which regions were found: one is painted as others (regions_class_order); "
            "validate again with --npz (nnUNetv2_train … --val --npz)"
        )
    regions = [class_labels(key) for key in task.channels]
    found = decoded(npz_channels(npz, shape, len(regions)), regions)
    return found.astype(np.uint8) if max(task.label_values) < 256 else found


def _code(value: int, regions: Sequence[Region]) -> int:
    """The regions that a label belongs to, a bit for each."""
    return sum(1 << place for place, region in enumerate(regions) if value in region)
