"""Line 3 of Algorithm 1: how fuzzy each voxel of a batch is, and the two views made of it (Eqs. 3–7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.fuzziness import fuzziness_map, patch_shape
from nnunetv2_dale.dale.label_intensities import LabelIntensities
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.views import View, fuzzy_mask, non_fuzzy_mask, view_of


@dataclass(frozen=True)
class PartitionedBatch:
    """A batch seen twice. Masks are (B, 1, *S) bool."""

    fuzziness: Tensor  # m, (B, 1, *S) in [0, 1]
    is_fuzzy: Tensor  # m >= τ
    valid: Tensor | None  # False where the label is to be ignored; None: nowhere
    fuzzy: View
    non_fuzzy: View

    @property
    def non_fuzzy_voxels(self) -> Tensor:
        """m < τ, with a label."""
        return both(~self.is_fuzzy, self.valid)

    def clean_fuzzy_voxels(self, clean: Tensor) -> Tensor:
        """Return m >= τ, with a label whose confidence did not fall (Eq. 12)."""
        return both(self.is_fuzzy & clean, self.valid)


class Partition:
    """Makes the two views of a batch.

    Args:
        config: its fields of the fuzziness.
        loss: says what the targets are: label map or regions, and what is ignored.
        spacing_mm: voxel spacing, for the depth of 3D patches; None is isotropic.
        image_channels: leading channels of the input that are image; None is all.
    """

    def __init__(
        self, config: DaleConfig, loss: MaskedLoss, spacing_mm: Sequence[float] | None, image_channels: int | None
    ) -> None:
        self._config, self._loss = config, loss
        self._spacing_mm, self._image_channels = spacing_mm, image_channels
        self.intensities = LabelIntensities(config.entropy_bins)

    def __call__(self, images: Tensor, target: Tensor) -> PartitionedBatch:
        """The batch's views.

        Args:
            images: (B, C, *S), finite.
            target: of the full resolution.
        """
        m, tau = self._fuzziness(images, target), self._config.fuzzy_threshold
        fuzzy, non_fuzzy = (
            view_of(images, mask, self._config.view, self._image_channels, self._config.masked_value)
            for mask in (fuzzy_mask(m, tau), non_fuzzy_mask(m, tau))
        )
        return PartitionedBatch(m, m >= tau, self._loss.valid(target), fuzzy, non_fuzzy)

    def _fuzziness(self, images: Tensor, target: Tensor) -> Tensor:
        """m (Eqs. 3–5), (B, 1, *S); the quantiles of the intensities move on."""
        config, images = self._config, images[:, : self._image_channels]
        labels, valid = self._loss.labels(target), self._loss.valid(target)
        near_labels = config.intensity_bins == "near_labels"
        return fuzziness_map(
            images,
            labels,
            patch_shape(images.shape[2:], config.patch_size, self._spacing_mm, config.fewest_patches),
            config.entropy_bins,
            valid,
            config.fuzziness_source,
            self.intensities.bounds(images, labels, valid) if near_labels else None,
        ).combined


def both(selected: Tensor, further: Tensor | None) -> Tensor:
    """Return the voxels of two masks; None is all."""
    return selected if further is None else selected & further
