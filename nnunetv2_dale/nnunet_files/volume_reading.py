"""Is an image file whole? Asked before any library reads it: most return zeros for voxels that are not in the file.

What can be known depends on the format. Compressed data are read to their end, where their checksum stands. Plain data
have none: there the size of the file is held against its header, and a changed voxel cannot be noticed. ITK itself
refuses a cut NRRD or MetaImage.
"""

from __future__ import annotations

import gzip
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import SimpleITK

from nnunetv2_dale.commands.command_line import one_line
from nnunetv2_dale.nnunet_files.problems import FileError
from nnunetv2_dale.nnunet_files.whole_pictures import require_whole_png, require_whole_tiff

_BLOCK = 1 << 20
_GIPL_HEADER_BYTES = 256
_TEXT_HEADER = re.compile(rb"NRRD.*?\n\r?\n|.*?^ElementDataFile\s*=\s*LOCAL\r?\n", re.MULTILINE | re.DOTALL)
_COMPRESSED = re.compile(rb"^(CompressedData\s*=\s*True|encoding:\s*gz)", re.MULTILINE | re.IGNORECASE)
_TOLERATED_PADDING = 512  # bytes after the voxels of a plain file
_GZIP = b"\x1f\x8b"


def require_whole(path: Path) -> None:
    """Raise if a file is not there or is damaged, as far as its format can tell.

    Knows NIfTI, NRRD, MetaImage, GIPL (each plain or compressed), `.npz`, PNG and TIFF. Other formats (BMP, JPEG, HDF5)
    are left to their libraries, which refuse a file that is cut.

    Raises:
        FileError: says what is wrong: "there is no such file", "is damaged: ...".
    """
    if not path.is_file():
        raise FileError(path, "there is no such file" if not path.exists() else "is a folder; a file is expected")
    if path.stat().st_size == 0:
        raise FileError(path, "is damaged: it is empty")
    name = path.name.lower()
    check = next((check for ending, check in _CHECKS.items() if name.endswith(ending)), None)
    if check is not None:
        try:
            check(path)
        except ValueError as error:
            raise FileError(path, str(error)) from error


def is_compressed_volume(path: Path) -> bool:
    """Say whether a `.nii.gz` is compressed and has three axes; only ITK reads others too."""
    image: Any = nibabel.load(path) if _starts_with(path, _GZIP) else None
    return image is not None and len(image.shape) == 3


def _check_nifti(path: Path) -> None:
    compressed = _starts_with(path, _GZIP)
    if compressed and path.name.lower().endswith(".nii"):
        raise ValueError("is compressed, but its name does not end in .gz; rename it to .nii.gz")
    start = next(_unzipped(path), b"") if compressed else _first(path)
    _hold_against(path, _bytes_of_nifti(start), compressed)


def _bytes_of_nifti(start: bytes) -> int:
    """Bytes of header and voxels, uncompressed, by the header of NIfTI-1 or NIfTI-2 at the start of a file."""
    kinds: tuple[Any, ...] = (nibabel.Nifti1Header, nibabel.Nifti2Header)
    kind = next((kind for kind in kinds if kind.may_contain_header(start)), None)
    if kind is None:
        raise ValueError("is damaged or of another format: it is no NIfTI header")
    header = kind(start[: kind.sizeof_hdr], check=False)
    shape, bits, offset = header.get_data_shape(), int(header["bitpix"]), float(header["vox_offset"])
    if min(shape) < 1 or bits < 1 or not 0 <= offset < 2**40:
        raise ValueError(f"is damaged: its header announces {shape} voxels of {bits} bits from byte {offset:g} on")
    return max(int(offset), int(kind.sizeof_hdr)) + math.ceil(math.prod(map(int, shape)) * bits / 8)


def _check_gipl(path: Path) -> None:
    """ITK, which reads no more of a cut file than there is, tells what its header announces."""
    volume = _read_by_itk(path)
    voxels = volume.GetNumberOfPixels() * volume.GetNumberOfComponentsPerPixel() * volume.GetSizeOfPixelComponent()
    _hold_against(path, _GIPL_HEADER_BYTES + voxels, _starts_with(path, _GZIP))


def _check_text_header(path: Path) -> None:
    """NRRD and MetaImage: ITK refuses a cut file, but not always one whose compressed voxels have a wrong checksum."""
    _read_by_itk(path)
    header = _TEXT_HEADER.match(_first(path))
    if header is None or not _COMPRESSED.search(header[0]):
        return
    voxels = path.read_bytes()[header.end() :]
    try:
        zlib.decompress(voxels, zlib.MAX_WBITS | 32)  # gzip or zlib
    except zlib.error as error:
        if voxels:  # else they are in a file of their own
            raise ValueError(f"is damaged: {_reason(error)}") from error


def _read_by_itk(path: Path) -> SimpleITK.Image:
    try:
        return SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise ValueError(f"is damaged or of another format: it cannot be read ({_reason(error)})") from error


def _check_npz(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"is damaged: {_reason(error)}") from error
    if broken is not None:
        raise ValueError(f"is damaged: the checksum of {broken} is wrong")


_CHECKS: dict[str, Callable[[Path], object]] = {
    ".nii.gz": _check_nifti,
    ".nii": _check_nifti,
    ".nrrd": _check_text_header,
    ".mha": _check_text_header,
    ".gipl": _check_gipl,
    ".gipl.gz": _check_gipl,
    ".npz": _check_npz,
    ".png": require_whole_png,
    ".tif": require_whole_tiff,
    ".tiff": require_whole_tiff,
}


def _hold_against(path: Path, needed: int, compressed: bool) -> None:
    """Raise if a file does not hold the bytes that its header announces; a compressed one is read to its end, where
    the checksum is."""
    size = sum(map(len, _unzipped(path))) if compressed else path.stat().st_size
    if size < needed or (not compressed and size > needed + _TOLERATED_PADDING):
        raise ValueError(f"is damaged: it holds {size} bytes, but its header announces {needed}")


def _unzipped(path: Path) -> Iterator[bytes]:
    """The content of a `.gz` file, block by block to its end."""
    try:
        with gzip.open(path) as file:
            while block := file.read(_BLOCK):
                yield block
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"is damaged: {_reason(error)}") from error


def _first(path: Path, number: int = _BLOCK) -> bytes:
    with path.open("rb") as file:
        return file.read(number)


def _starts_with(path: Path, magic: bytes) -> bool:
    return _first(path, len(magic)) == magic


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it ends before its compressed data do"
    return one_line(error)
