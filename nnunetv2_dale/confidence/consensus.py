"""One label out of several readers': their vote or STAPLE's estimate, and the share of readers that agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import SimpleITK
from numpy.typing import NDArray

Labels = NDArray[np.int16]
Method = Literal["majority", "staple"]
LabelTarget = Literal[Method, "random"]  # random: the readers' labels are kept, each visit of a case draws one


def consensus_of(readers: Sequence[Labels], method: Method) -> tuple[Labels, int]:
    """Decide each voxel, by SimpleITK's `LabelVoting` or `MultiLabelSTAPLE` (Warfield et al. 2004).

    Args:
        readers: the label maps of at least two readers, (Z, Y, X), all of one shape, no value below 0.
    Returns:
        (Z, Y, X), and how many voxels two values had equal claims on: those are background.
    """
    undecided = int(max(each.max() for each in readers)) + 1
    images = [SimpleITK.GetImageFromArray(each.astype(np.uint16)) for each in readers]
    decide: Any = (
        SimpleITK.LabelVotingImageFilter() if method == "majority" else SimpleITK.MultiLabelSTAPLEImageFilter()
    )
    decide.SetLabelForUndecidedPixels(undecided)
    found = SimpleITK.GetArrayFromImage(decide.Execute(images)).astype(np.int16)
    ties = found == undecided
    found[ties] = 0
    return found, int(np.count_nonzero(ties))


def agreement_with(label: Labels, readers: Sequence[Labels]) -> NDArray[np.float32]:
    """The share of readers whose value is the label's, of each voxel: (Z, Y, X) in [0, 1]."""
    agreeing = sum((each == label).astype(np.float32) for each in readers)
    return np.asarray(agreeing / np.float32(len(readers)), np.float32)
