"""Noise moves the foreground as a whole: which class every voxel of a moved foreground gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.masks.boxes import box_of


def with_foreground(
    label: NDArray[np.int16], foreground: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.int16]:
    """Return the label whose foreground is `foreground` instead of `label > 0`.

    Voxels that leave the foreground become background (0); voxels that join it get the class of the nearest foreground
    voxel of `label`, in mm; all others keep their class. So borders between two classes stay where they are.

    Args:
        label: (Z, Y, X), 0 is background; needs foreground if `foreground` has any.
        foreground: (Z, Y, X) bool.
        spacing_mm: of the 3 axes.
    """
    result = np.where(foreground, label, np.int16(0))
    joined = foreground & (label == 0)
    window = box_of(foreground | (label > 0))
    if window is None or not joined.any():
        return result
    classes = np.unique(label[window])
    classes = classes[classes > 0]
    if classes.size == 1:
        result[joined] = classes[0]
        return result
    nearest = ndimage.distance_transform_edt(
        label[window] == 0, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    inner = joined[window]
    result[window][inner] = label[window][tuple(index[inner] for index in nearest)]
    return result
