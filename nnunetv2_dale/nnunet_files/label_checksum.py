"""A checksum of what a label map says, whatever file it lies in: by it a label that was drawn anew is known."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def label_checksum(labels: NDArray[Any]) -> str:
    """Return CRC-32 of the voxels in C order, eight hexadecimal digits.

    Args:
        labels: of one type for all that are compared: the checksum is of the bytes in memory.
    """
    return f"{zlib.crc32(np.ascontiguousarray(labels).data):08x}"
