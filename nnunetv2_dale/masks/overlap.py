"""The overlap of two masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def overlap(first: Mask, second: Mask) -> tuple[float, float] | None:
    """(Dice, IoU) of two masks of one shape; None where both are empty."""
    common = int(np.count_nonzero(first & second))
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return None if total == 0 else (2 * common / total, common / (total - common))


def dice(first: Mask, second: Mask) -> float:
    """2 |A ∩ B| / (|A| + |B|); 1 where both are empty: two masks that say the same."""
    shared = overlap(first, second)
    return 1.0 if shared is None else shared[0]
