"""Which slice of a case shows most."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nnunetv2_dale.demo.anatomy import FOREGROUND, LABELS


def telling_slice(truth: npt.NDArray[Any]) -> int:
    """Find the slice with most lesion among those where every other class that the case has is seen too.

    Without such a slice, the one with most classes, and among those with most lesion.
    """
    classes = [(truth == value).sum(axis=(1, 2)) for value in FOREGROUND.values()]
    seen = sum((area > 0).astype(np.float64) for area in classes)
    lesion = (truth == LABELS["lesion"]).sum(axis=(1, 2))
    return int(np.argmax(seen + lesion / (lesion.max() + 1)))
