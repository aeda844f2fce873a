"""Which of two borders does the image show: that of the label, or that of the networks?

A right label that its network misses has a border that the image shows; a wrong one has it where the image changes no
more than anywhere near. Of the faces between neighbouring voxels that are border of one of two masks alone,

    sides = log (mean |I_a − I_b| over the label's / mean |I_a − I_b| over the networks'),

and of those that are border of both, shown = log (mean over these / mean over the faces of one alone): about 0 where
the image shows no border at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.masks.overlap import Mask

LEAST_FACES = 5  # of each, from which a mean says anything


@dataclass(frozen=True)
class ImageAtBorders:
    """What the image says of a class's two borders (see the top of this module); NaN: they have none in common."""

    sides: float
    shown: float


def image_at_borders(images: NDArray[np.float32], label: Mask, referees: Mask) -> ImageAtBorders | None:
    """Compare what the image shows at the borders of two masks.

    Args:
        images: (C, Z, Y, X) of the masks' crop; of several channels the mean counts.
    Returns:
        None where one side has hardly a border of its own, or a channel is constant along it.
    """
    sums, counts = np.zeros((3, len(images))), np.zeros((3, 1))
    sides_of = label + 2 * referees.astype(np.uint8)
    for axis in range(3):
        ahead = np.moveaxis(sides_of, axis, 0)
        # border of the label alone 1, of the referees alone 2, of both 3
        kinds = np.moveaxis(ahead[1:] ^ ahead[:-1], 0, axis)
        at = np.array(np.nonzero(kinds > 0))
        beyond = at + np.eye(3, dtype=int)[:, [axis]]
        changes, kind = np.abs(images[(slice(None), *beyond)] - images[(slice(None), *at)]), kinds[tuple(at)]
        for row in range(3):
            sums[row] += changes[:, kind == row + 1].sum(axis=1, dtype=np.float64)
            counts[row] += np.count_nonzero(kind == row + 1)
    if counts[:2].min() < LEAST_FACES or not sums[:2].all():
        return None
    sides = float(np.mean(np.log(sums[0] / counts[0]) - np.log(sums[1] / counts[1])))
    if not sums[2].all():
        return ImageAtBorders(sides, float("nan"))
    alone = sums[:2].sum(axis=0) / counts[:2].sum()
    return ImageAtBorders(sides, float(np.mean(np.log(sums[2] / counts[2] / alone))))
