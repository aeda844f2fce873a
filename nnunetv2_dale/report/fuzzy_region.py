"""The fuzzy region of a reference, where DALE's claim lies: patches of fuzziness m >= tau (Eqs. 3–6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnunetv2_dale.dale.config import ADAPTED
from nnunetv2_dale.dale.fuzziness import FuzzinessSource, fuzziness_map, patch_shape
from nnunetv2_dale.dale.label_intensities import bounds_of_case


def fuzzy_patch(shape: Sequence[int], spacing_mm: Sequence[float], patch_size: int = 16) -> tuple[int, ...]:
    """The voxels of a patch along each axis of a reference, as in the training: fewer in small images."""
    return patch_shape(shape, patch_size, spacing_mm, ADAPTED.fewest_patches)


def fuzzy_region(
    image: NDArray[Any] | None,
    reference: NDArray[Any],
    spacing_mm: Sequence[float],
    tau: float = 0.9,
    patch_size: int = 16,
    ignore_label: int | None = None,
) -> NDArray[np.bool_]:
    """Voxels in patches with m >= tau, over the whole image, with the bins and the patches of nnUNetTrainerDALE.

    Args:
        image: (C, *S), finite; None takes m from the reference's edges alone.
        reference: (*S) label map.
        spacing_mm: one spacing per axis of S.
        tau, patch_size: as in the training's configuration.
        ignore_label: its voxels are no edges.
    Returns:
        (*S) bool. Without any edge (and, with an image, without contrast) no patch is fuzzy.
    """
    labels = torch.from_numpy(np.ascontiguousarray(reference, dtype=np.int16))[None, None]
    valid = None if ignore_label is None else labels != ignore_label
    patch = fuzzy_patch(reference.shape, spacing_mm, patch_size)
    source: FuzzinessSource = "edges" if image is None else "both"
    if image is None:
        # The shape is all that is used of it.
        images, bounds = torch.zeros(1, 1, 1).expand(1, 1, reference.size).view(1, 1, *reference.shape), None
    else:
        images = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None]
        bounds = bounds_of_case(images, labels, valid, ADAPTED.entropy_bins)
    m = fuzziness_map(images, labels, patch, ADAPTED.entropy_bins, valid, source, bounds)
    return np.asarray((m.combined[0, 0] >= tau).numpy())
