"""Is an image file whole? Asked before any library reads it: most return zeros for voxels that are not in the file.

What can be known depends on the format. Compressed data are read to their end, where their checksum stands. Plain data
have none: there the size of the file is held against its header, and a changed voxel cannot be noticed.
"""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel

from nnunetv2_dale.nnunet_files.voxel_headers import (
    StoredVoxels,
    gipl_voxels,
    meta_image_voxels,
    nifti_voxels,
    nrrd_voxels,
)
from nnunetv2_dale.nnunet_files.whole_pictures import require_whole_png, require_whole_tiff

_BLOCK = 1 << 20
_HEADER_BYTES = 1 << 16  # of a text header; those of NRRD and MetaImage are far shorter
_TOLERATED_PADDING = 512  # bytes after the voxels of a plain file
_GZIP = b"\x1f\x8b"


def require_whole(path: Path) -> None:
    """Raise if a file is not there or is damaged, as far as its format can tell.

    Knows NIfTI, NRRD, MetaImage, GIPL (each plain or compressed), `.npz`, PNG and TIFF. Other formats (BMP, JPEG, HDF5)
    are left to their libraries, which refuse a file that is cut.

    Raises:
        ValueError: says what is wrong, to follow the file's name: "there is no such file", "is damaged: ...".
    """
    if not path.is_file():
        raise ValueError("there is no such file" if not path.exists() else "is a folder; a file is expected")
    if path.stat().st_size == 0:
        raise ValueError("is damaged: it is empty")
    name = path.name.lower()
    for ending, check in _CHECKS.items():
        if name.endswith(ending):
            check(path)
            return


def is_compressed_volume(path: Path) -> bool:
    """Say whether a `.nii.gz` is compressed and has three axes; only ITK reads others too."""
    image: Any = nibabel.load(path) if _starts_with(path, _GZIP) else None
    return image is not None and len(image.shape) == 3


def _check_nifti(path: Path) -> None:
    compressed = _starts_with(path, _GZIP)
    if compressed and path.name.lower().endswith(".nii"):
        raise ValueError("is compressed, but its name does not end in .gz; rename it to .nii.gz")
    _check_voxels(path, nifti_voxels, compressed)


def _check_gipl(path: Path) -> None:
    _check_voxels(path, gipl_voxels, _starts_with(path, _GZIP))


def _check_voxels(path: Path, read_header: Callable[[bytes], StoredVoxels], compressed: bool) -> None:
    """A binary header and the voxels behind it, as a whole compressed or not."""
    if not compressed:
        with path.open("rb") as file:
            voxels = _header(read_header, file.read(_HEADER_BYTES))
        _hold_against(path.stat().st_size, voxels, exactly=True)
        return
    blocks = _unzipped(path)
    first = next(blocks, b"")
    while len(first) < _HEADER_BYTES and (more := next(blocks, b"")):
        first += more
    size = len(first) + sum(map(len, blocks))  # to the end, where the checksum is
    _hold_against(size, _header(read_header, first), exactly=False)


def _check_text_header(path: Path, read_header: Callable[[bytes], StoredVoxels]) -> None:
    """A text header (NRRD, MetaImage) and the voxels behind it or in a file of their own, with their own encoding."""
    with path.open("rb") as file:
        voxels = _header(read_header, file.read(_HEADER_BYTES))
    place = path if voxels.file_name is None else path.parent / voxels.file_name
    if not place.is_file():
        raise ValueError(f"keeps its voxels in {voxels.file_name}, which is not there")
    match voxels.encoding:
        case "raw":
            _hold_against(place.stat().st_size, voxels, exactly=voxels.file_name is None)
        case "compressed":
            size = voxels.offset + sum(map(len, _decompressed(place, voxels.offset)))
            _hold_against(size, voxels, exactly=False)
        case _:
            with place.open("rb") as file:
                file.seek(voxels.offset)
                numbers = sum(len(line.split()) for line in file)
            if numbers < voxels.number:
                raise ValueError(f"is damaged: it holds {numbers} of the {voxels.number} numbers its header announces")


def _check_npz(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"is damaged: {_reason(error)}") from error
    if broken is not None:
        raise ValueError(f"is damaged: the checksum of {broken} is wrong")


_CHECKS: dict[str, Callable[[Path], None]] = {
    ".nii.gz": _check_nifti,
    ".nii": _check_nifti,
    ".nrrd": lambda path: _check_text_header(path, nrrd_voxels),
    ".mha": lambda path: _check_text_header(path, meta_image_voxels),
    ".gipl": _check_gipl,
    ".gipl.gz": _check_gipl,
    ".npz": _check_npz,
    ".png": require_whole_png,
    ".tif": require_whole_tiff,
    ".tiff": require_whole_tiff,
}


def _header(read: Callable[[bytes], StoredVoxels], start: bytes) -> StoredVoxels:
    try:
        return read(start)
    except (struct.error, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"is damaged or of another format: its header cannot be read ({_reason(error)})") from error


def _hold_against(size: int, voxels: StoredVoxels, exactly: bool) -> None:
    """Raise if `size` bytes (header and voxels, uncompressed) are not what the header announces."""
    needed = voxels.offset + voxels.number * voxels.bytes_each
    if size < needed:
        missing = math.ceil((needed - size) / max(voxels.bytes_each, 1))
        raise ValueError(
            f"is damaged: {missing} of its {voxels.number} voxels are missing "
            f"(it holds {size} bytes instead of {needed})"
        )
    if exactly and size > needed + _TOLERATED_PADDING:
        raise ValueError(f"is damaged: it holds {size} bytes, but its header announces {needed}")


def _unzipped(path: Path) -> Iterator[bytes]:
    """The content of a `.gz` file, block by block to its end."""
    try:
        with gzip.open(path) as file:
            while block := file.read(_BLOCK):
                yield block
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"is damaged: {_reason(error)}") from error


def _decompressed(path: Path, offset: int) -> Iterator[bytes]:
    """Voxels from `offset` on, compressed as gzip or zlib, to the end of the compressed data, where the checksum is."""
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)
    with path.open("rb") as file:
        file.seek(offset)
        while not decompressor.eof:
            block = file.read(_BLOCK)
            if not block:
                raise ValueError("is damaged: it ends before its compressed voxels do")
            try:
                yield decompressor.decompress(block)
            except zlib.error as error:
                raise ValueError(f"is damaged: {_reason(error)}") from error


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it ends before its compressed data do"
    return " ".join(str(error).split()) or type(error).__name__
