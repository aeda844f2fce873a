"""Where labels count as certain for lack of a better witness: outside the fuzzy patches of DALE's partition."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nnunetv2_dale.dale.fuzziness import fuzziness_map, patch_shape
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.rivals.config import FuzzySettings


def non_fuzzy(
    images: Tensor,
    target: Tensor,
    form: MaskedLoss,
    settings: FuzzySettings,
    spacing_mm: Sequence[float] | None = None,
    image_channels: int | None = None,
) -> Tensor:
    """1 where m < τ, else 0 (DALE, Eqs. 3–6).

    Args:
        images: (B, C, *S), finite.
        target: at full resolution, in nnU-Net's form, which `form` tells.
        spacing_mm: voxel spacing, for the depth of 3D patches.
        image_channels: leading channels of the input that are image; None is all.
    Returns:
        (B, 1, *S) float32.
    """
    fuzziness = fuzziness_map(
        images[:, :image_channels],
        form.labels(target),
        patch_shape(images.shape[2:], settings.patch_size, spacing_mm),
        settings.entropy_bins,
        form.valid(target),
    )
    return (fuzziness.combined < settings.fuzzy_threshold).float()
