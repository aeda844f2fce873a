"""Maps at the resolution of an output."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from nnunetv2_dale.dale.resolutions import all_resolutions, full_resolution, resized


def test_a_coarse_voxel_gets_the_mean_of_what_it_covers() -> None:
    weight = torch.arange(8.0).view(1, 1, 2, 4)
    # 0 1 2 3 over 4 5 6 7, by hand: (0 + 1 + 4 + 5) / 4 and (2 + 3 + 6 + 7) / 4
    assert_close(resized(weight, torch.zeros(1, 3, 1, 2)), torch.tensor([[[[2.5, 4.5]]]]))
    assert resized(weight, torch.zeros(1, 3, 2, 4)) is weight
    assert resized(None, weight) is None


def test_one_resolution_is_the_first_of_one() -> None:
    fine, coarse = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 2, 2)
    assert full_resolution([fine, coarse]) is full_resolution(fine) is fine
    assert all_resolutions([fine, coarse])[1] is coarse
    assert all_resolutions(fine)[0] is fine
