"""The fuzzy region of a reference, where DALE's claim lies: patches of fuzziness m >= tau (Eqs. 3–6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from nnunetv2_dale.dale.config import ADAPTED
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.pages.case_fuzziness import case_fuzziness


def fuzzy_region(
    image: NDArray[Any] | None,
    reference: NDArray[Any],
    spacing_mm: Sequence[float],
    tau: float = 0.9,
    patch_size: int = 16,
    ignore_label: int | None = None,
) -> tuple[Mask, tuple[int, ...]]:
    """Voxels in patches with m >= tau, over the whole image, with the bins and the patches of nnUNetTrainerDALE.

    Args:
        image: (C, *S), finite; None takes m from the reference's edges alone.
        reference: (*S) label map; 2D, or one slice, has patches in the plane.
        spacing_mm: one spacing per axis of S.
        tau, patch_size: as in the training's configuration.
        ignore_label: its voxels are no edges.
    Returns:
        (*S) bool, and the voxels of a patch along each axis. Without any edge (and, with an image, without contrast) no
        patch is fuzzy.
    """
    shape = (1, *reference.shape)[-3:]
    volume, spacing = reference.reshape(shape), (1.0, *spacing_mm)[-3:]
    channels = None if image is None else image.reshape(-1, *shape)
    bins, fewest = ADAPTED.entropy_bins, ADAPTED.fewest_patches
    maps = case_fuzziness(channels, volume, spacing, patch_size, bins, ignore_label, fewest_patches=fewest)
    return (maps.combined() >= tau).reshape(reference.shape), maps.patch
