"""Sums over the voxels of each label, as of a one-hot tensor."""

from __future__ import annotations

import torch
from torch.nn.functional import one_hot
from torch.testing import assert_close

from nnunetv2_dale.dale.dice_sums import spatial_sum, sum_per_label


def test_sums_per_label_are_those_of_one_hot_labels() -> None:
    labels, values = torch.randint(0, 4, (2, 1, 5, 6)), torch.rand(2, 1, 5, 6)
    of_each = one_hot(labels[:, 0], 4).movedim(-1, 1) * values
    assert_close(sum_per_label(values, labels, 4), of_each.sum(dim=(2, 3)))
    assert_close(spatial_sum(of_each), of_each.sum(dim=(2, 3)))
