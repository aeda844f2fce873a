"""Where a volume's file keeps its voxels and how many there are: the part of each header that tells a whole file."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class StoredVoxels:
    """What a header announces.

    Attributes:
        offset: bytes before the voxels.
        number: voxels, with all their components.
        bytes_each: of one of them.
        encoding: "raw", "compressed" (gzip or zlib), or "text".
        file_name: the file they are in; None for the header's own.
    """

    offset: int
    number: int
    bytes_each: float
    encoding: str = "raw"
    file_name: str | None = None


def nifti_voxels(start: bytes) -> StoredVoxels:
    """Read it of NIfTI-1 and NIfTI-2, in either byte order.

    Raises:
        ValueError, struct.error: no such header.
    """
    for order in "<>":
        size = struct.unpack_from(f"{order}i", start)[0]
        if size == 348:
            shape = struct.unpack_from(f"{order}8h", start, 40)
            bits, offset = struct.unpack_from(f"{order}h", start, 72)[0], struct.unpack_from(f"{order}f", start, 108)[0]
            break
        if size == 540:
            shape = struct.unpack_from(f"{order}8q", start, 16)
            bits, offset = struct.unpack_from(f"{order}h", start, 14)[0], struct.unpack_from(f"{order}q", start, 168)[0]
            break
    else:
        raise ValueError("it is no NIfTI header")
    axes = shape[0]
    if not 1 <= axes <= 7 or min(shape[1 : axes + 1]) < 1 or bits < 1 or not 0 <= offset < 2**40:
        raise ValueError(f"{axes} axes of {shape[1:]} voxels with {bits} bits")
    return StoredVoxels(max(int(offset), size), math.prod(shape[1 : axes + 1]), bits / 8)


def gipl_voxels(start: bytes) -> StoredVoxels:
    """Read it of GIPL, whose 256 bytes of header are big-endian.

    Raises:
        ValueError, KeyError, struct.error: no such header.
    """
    *shape, kind = struct.unpack_from(">4HH", start)
    if len(start) < 256:
        raise ValueError("it ends within the header")
    bytes_each = {1: 1 / 8, 7: 1, 8: 1, 15: 2, 16: 2, 31: 4, 32: 4, 64: 4, 65: 8}[kind]
    return StoredVoxels(256, math.prod(max(1, length) for length in shape), bytes_each)


_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(
        ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"), 4
    ),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), 8),
    **dict.fromkeys(("int64", "int64_t", "ulonglong", "unsigned long long", "unsigned long long int"), 8),
    **dict.fromkeys(("uint64", "uint64_t", "double"), 8),
}
_NRRD_ENCODINGS = {  # ITK, and so nnU-Net, reads no bzip2
    "raw": "raw",
    **dict.fromkeys(("gzip", "gz"), "compressed"),
    **dict.fromkeys(("ascii", "text", "txt"), "text"),
}


def nrrd_voxels(start: bytes) -> StoredVoxels:
    """Read it of NRRD: "key: value" lines up to an empty one.

    Raises:
        ValueError, KeyError: no such header, or one that keeps its voxels in several files.
    """
    if not start.startswith(b"NRRD"):
        raise ValueError("it is no NRRD header")
    end = re.search(rb"\r?\n\r?\n", start)
    text = (start[: end.start()] if end else start).decode("utf-8", "replace")
    fields = {
        key.strip().lower(): value.strip()
        for key, mark, value in (line.partition(": ") for line in text.splitlines())
        if mark
    }
    file_name = fields.get("data file", fields.get("datafile"))
    if end is None and file_name is None:
        raise ValueError("it ends within the header")
    skipped = [int(fields.get(key, fields.get(key.replace(" ", ""), "0"))) for key in ("line skip", "byte skip")]
    if any(skipped) or (file_name is not None and (file_name.startswith("LIST") or "%" in file_name)):
        raise ValueError("voxels in several files, or after bytes to skip, are not supported; save it as one file")
    offset = 0 if file_name is not None or end is None else end.end()
    number = math.prod(int(length) for length in fields["sizes"].split())
    return StoredVoxels(
        offset, number, _NRRD_BYTES[fields["type"].lower()], _NRRD_ENCODINGS[fields["encoding"].lower()], file_name
    )


_META_BYTES = {  # MET_LONG has 4 bytes in this format
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}


def meta_image_voxels(start: bytes) -> StoredVoxels:
    """Read it of MetaImage: "Key = Value" lines, of which ElementDataFile is the last.

    Raises:
        ValueError, KeyError: no such header, or one that keeps its voxels in several files.
    """
    end = re.search(rb"^ElementDataFile\s*=\s*([^\r\n]*)\r?\n?", start, re.MULTILINE)
    if end is None:
        raise ValueError("it is no MetaImage header, or ends within it")
    pairs = (line.partition("=") for line in start[: end.end()].decode("utf-8", "replace").splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    place = fields["ElementDataFile"]
    if place.startswith("LIST") or "%" in place or int(fields.get("HeaderSize", "0")) != 0:
        raise ValueError("voxels in several files, or after bytes to skip, are not supported; save it as one file")
    number = math.prod(int(length) for length in fields["DimSize"].split())
    number *= int(fields.get("ElementNumberOfChannels", "1"))
    compressed = fields.get("CompressedData", "False").lower() == "true"
    binary = fields.get("BinaryData", "True").lower() == "true"
    encoding = "compressed" if compressed else "raw" if binary else "text"
    local = place.upper() == "LOCAL"
    return StoredVoxels(
        end.end() if local else 0, number, _META_BYTES[fields["ElementType"]], encoding, None if local else place
    )
