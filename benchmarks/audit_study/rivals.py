"""What else could rank cases and voxels: cleanlab, the Dice of the out-of-fold prediction, the mean loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cleanlab.segmentation.rank import get_label_quality_scores
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RivalScores:
    """One case; higher is more suspicious. `voxels` is 1 − the probability of the given label, (Z, Y, X)."""

    cleanlab: float
    mean_loss: float
    voxels: Floats


def rival_scores(label: NDArray[np.uint8], probabilities: Floats) -> RivalScores:
    """Score a case: its label (Z, Y, X), by probabilities (K, Z, Y, X), background first.

    cleanlab takes two-dimensional images: slices are laid below each other, which its score of an image does not see.
    """
    flat, given = probabilities.reshape(len(probabilities), -1), label.reshape(-1)
    of_label = np.take_along_axis(flat, given[None].astype(np.intp), axis=0)[0]
    image = (1, label.shape[0] * label.shape[1], label.shape[2])
    quality, _ = get_label_quality_scores(
        given.reshape(image), flat.reshape(1, len(flat), *image[1:]), method="softmin", verbose=False
    )
    return RivalScores(
        cleanlab=1 - float(quality[0]),
        mean_loss=float(-np.log(np.maximum(of_label, 1e-6)).mean()),
        voxels=(1 - of_label).reshape(label.shape),
    )
