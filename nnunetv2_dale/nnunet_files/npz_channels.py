"""nnU-Net's `.npz` probabilities, one class at a time: a CT's with fifteen classes would not fit into memory."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import UserError

MEMBER = "probabilities.npy"


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
