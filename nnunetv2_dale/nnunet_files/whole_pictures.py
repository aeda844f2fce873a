"""Is a PNG or TIFF file whole? PNG has a checksum for each of its parts; in TIFF every part says where it lies."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def require_whole_png(path: Path) -> None:
    """Raise a `ValueError` if a PNG ends early or a checksum is wrong; a file of another kind is not looked at."""
    with path.open("rb") as file:
        if file.read(len(_PNG)) != _PNG:
            return  # a picture of another format under this name; its library says what it is
        kind = b""
        while kind != b"IEND":
            start = file.read(8)
            length, kind = struct.unpack(">I4s", start) if len(start) == 8 else (0, b"")
            content, checksum = file.read(length), file.read(4)
            if len(checksum) < 4:
                raise ValueError("is damaged: it ends before the picture does")
            if zlib.crc32(kind + content) != int.from_bytes(checksum, "big"):
                raise ValueError(f"is damaged: the checksum of its part {kind.decode('latin-1')} is wrong")


def require_whole_tiff(path: Path) -> None:
    """Raise a `ValueError` if a part of a TIFF lies beyond its end."""
    import tifffile

    content = path.read_bytes()
    try:
        needed = _end_of_tiff_directories(content)
        with tifffile.TiffFile(path) as file:
            for page in file.pages:
                parts = zip(page.dataoffsets, page.databytecounts, strict=True)
                needed = max(needed, *(offset + count for offset, count in parts))
    except (tifffile.TiffFileError, OSError, struct.error, KeyError, ValueError, IndexError) as error:
        raise ValueError(f"is damaged: {' '.join(str(error).split())}") from error
    if needed > len(content):
        raise ValueError(f"is damaged: it holds {len(content)} bytes of {needed}")


def _end_of_tiff_directories(content: bytes) -> int:
    """The last byte that the directories and their values need; tifffile leaves out the pages of a cut directory."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    number, count, pointer = (order + letter for letter in ("QQQ" if big else "HII"))
    inline = struct.calcsize(pointer)
    offset, needed = struct.unpack_from(pointer, content, 8 if big else 4)[0], 0
    seen: set[int] = set()
    while offset and offset not in seen:
        seen.add(offset)
        entries = struct.unpack_from(number, content, offset)[0]
        offset += struct.calcsize(number)
        for _ in range(entries):
            kind = struct.unpack_from(f"{order}H", content, offset + 2)[0]
            size = _TIFF_BYTES[kind] * struct.unpack_from(count, content, offset + 4)[0]
            offset += 4 + 2 * inline
            if size > inline:
                needed = max(needed, struct.unpack_from(pointer, content, offset - inline)[0] + size)
        offset = struct.unpack_from(pointer, content, offset)[0]
    return int(needed)
