"""Writing images so that a full disk is an error: libraries report it each in its own way, and ITK not always."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
from numpy.typing import NDArray

from nnunetv2_dale.nnunet_files.file_names import require_short_name
from nnunetv2_dale.nnunet_files.problems import FileError
from nnunetv2_dale.nnunet_files.volume_reading import require_whole


@contextmanager
def written_whole(target: Path) -> Iterator[None]:
    """Check what the block writes to `target` with some library.

    Raises:
        UserError: the file's name is too long.
        OSError: the library failed, or what it wrote is not whole: ITK fills a disk with NIfTI and says nothing.
    """
    require_short_name(target)
    try:
        yield
    except (RuntimeError, OSError) as error:  # ITK raises the first, Pillow an OSError without a number
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OSError(errno.EIO, f"could not be written ({' '.join(str(error).split())})", str(target)) from error
    try:
        require_whole(target)
    except FileError as error:
        reason = f"could not be written whole; the disk is probably full ({error.problem.what})"
        raise OSError(errno.ENOSPC, reason, str(target)) from error


def write_volume(volume: SimpleITK.Image, target: Path) -> None:
    """Write a volume, compressed; errors as `written_whole`."""
    with written_whole(target):
        SimpleITK.WriteImage(volume, str(target), useCompression=True)


def write_nifti(array: NDArray[Any], affine: NDArray[np.float64], target: Path) -> None:
    """Write (Z, Y, X) as NIfTI with the image's geometry, which 3D Slicer and ITK-SNAP lay over the image."""
    image = nibabel.Nifti1Image(array.transpose(2, 1, 0), affine)  # x first in memory, as in the file
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, target)


def write_label(writer: Any, label: NDArray[Any], target: Path, properties: dict[str, Any]) -> None:
    """Write a label through nnU-Net's reader/writer, with the geometry of the label or image whose properties they are.

    Raises:
        UserError, OSError: as `written_whole`.
    """
    with written_whole(target):
        writer.write_seg(label, str(target), properties)
