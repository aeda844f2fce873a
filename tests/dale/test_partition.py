"""A batch is split as Eqs. 3 to 7 say; voxels without a label are in neither part."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.fuzziness import fuzziness_map
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.partition import Partition
from nnunetv2_dale.dale.views import fuzzy_mask, non_fuzzy_mask
from tests.dale.networks import blob_batch

CONFIG = DaleConfig(patch_size=8)


def test_the_views_are_image_times_mask() -> None:
    images, labels = blob_batch()
    batch = Partition(CONFIG, MaskedLoss(), None, None)(images, labels)
    m = fuzziness_map(images, labels, (8, 8), CONFIG.entropy_bins, None, "both", None).combined
    assert_close(batch.fuzziness, m)
    assert_close(batch.is_fuzzy, m >= CONFIG.fuzzy_threshold)
    assert_close(batch.fuzzy.images, images * fuzzy_mask(m, CONFIG.fuzzy_threshold))
    assert_close(batch.non_fuzzy.images, images * non_fuzzy_mask(m, CONFIG.fuzzy_threshold))


def test_channels_that_are_no_image_stay_whole() -> None:
    images, labels = blob_batch(channels=2)
    batch = Partition(CONFIG, MaskedLoss(), None, image_channels=1)(images, labels)
    assert_close(batch.fuzzy.images[:, 1:], images[:, 1:])
    assert not torch.equal(batch.fuzzy.images[:, :1], images[:, :1])


@pytest.mark.parametrize("ignored", [None, 2])
def test_every_labelled_voxel_is_clear_or_fuzzy_and_clean_ones_are_those_asked_for(ignored: int | None) -> None:
    images, labels = blob_batch()
    batch = Partition(CONFIG, MaskedLoss(ignore_label=ignored), None, None)(images, labels)
    everywhere = torch.ones_like(batch.is_fuzzy)
    labelled = everywhere if ignored is None else labels != ignored
    clear, fuzzy = batch.non_fuzzy_voxels, batch.clean_fuzzy_voxels(everywhere)
    assert not (clear & fuzzy).any()
    assert_close(clear | fuzzy, labelled)
    assert not batch.clean_fuzzy_voxels(~everywhere).any()


def test_bins_near_labels_make_another_map() -> None:
    images, labels = blob_batch()
    images[:, :, :2] = 50.0  # far above all that is near a label
    equal, near = (
        Partition(DaleConfig(patch_size=8, intensity_bins=kind), MaskedLoss(), None, None)(images, labels).fuzziness
        for kind in ("equal", "near_labels")
    )
    assert near[:, :, 8:].mean() > equal[:, :, 8:].mean()  # equal bins have one for all but the bright rows
