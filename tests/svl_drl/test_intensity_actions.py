"""Actions on intensities: by hand on a scale of known percentiles, and what they never touch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.svl_drl.intensity_actions import (
    Action,
    IntensityRange,
    apply_actions,
    intensity_range,
    sample_actions,
)


def test_percentiles_are_numpys() -> None:
    images = torch.randn(2, 3, 7, 11, 13)
    found = intensity_range(images)
    flat = images.flatten(2).numpy()
    assert_close(found.low, torch.from_numpy(np.percentile(flat, 0.5, axis=2, method="nearest")))
    assert_close(found.high, torch.from_numpy(np.percentile(flat, 99.5, axis=2, method="nearest")))


def test_actions_by_hand() -> None:
    """On a scale from -1 to 3, 1 is 0.5: enhanced by 0.2 it is 0.6, hence 1.4; weakened 0.4, hence 0.6."""
    scale = IntensityRange(low=torch.tensor([[-1.0]]), high=torch.tensor([[3.0]]))
    images = torch.tensor([1.0, 1.0, 1.0, 2.8, -1.0]).view(1, 1, 1, 5)
    actions = torch.tensor([Action.KEEP, Action.ENHANCE, Action.WEAKEN, Action.ENHANCE, Action.WEAKEN]).view(1, 1, 1, 5)
    acted = apply_actions(images, actions, torch.full((1, 1, 1, 5), 0.2), scale)
    assert_close(acted, torch.tensor([1.0, 1.4, 0.6, 3.0, -1.0]).view(1, 1, 1, 5))  # 0.95 * 1.2 is clipped at 1


@pytest.mark.parametrize("shape", [(2, 2, 6, 5), (2, 1, 4, 6, 5)])
def test_keep_is_the_identity_bit_by_bit_even_outside_the_scale(shape: tuple[int, ...]) -> None:
    images = torch.randn(shape) * 100
    actions = torch.full((shape[0], 1, *shape[2:]), int(Action.KEEP))
    acted = apply_actions(images, actions, torch.rand(actions.shape), intensity_range(images))
    assert torch.equal(acted, images)
    assert acted is not images


def test_what_lies_outside_of_the_scale_stays_whatever_the_action() -> None:
    """Clipped, a voxel above the 99.5 percentile would fall by the same whether it is enhanced or weakened."""
    scale = IntensityRange(low=torch.tensor([[-1.0]]), high=torch.tensor([[3.0]]))
    images = torch.tensor([-1.5, 3.01, 40.0, 2.9]).view(1, 1, 1, 4)
    for action in Action:
        acted = apply_actions(images, torch.full((1, 1, 1, 4), int(action)), torch.full((1, 1, 1, 4), 0.3), scale)
        assert torch.equal(acted[..., :3], images[..., :3])
        assert (acted[..., 3] == images[..., 3]) == (action is Action.KEEP)


def test_actions_of_no_amount_go_to_the_scale_and_back() -> None:
    images = torch.randn(2, 1, 9, 9, dtype=torch.float64)
    scale = IntensityRange(images.amin(dim=(2, 3)), images.amax(dim=(2, 3)))
    for action in Action:
        actions = torch.full((2, 1, 9, 9), int(action))
        assert_close(apply_actions(images, actions, torch.zeros(2, 1, 9, 9), scale), images, atol=1e-6, rtol=0)


def test_every_channel_is_scaled_by_itself_and_a_cascades_channels_stay() -> None:
    images = torch.cat([torch.randn(1, 1, 8, 8), 50 * torch.randn(1, 1, 8, 8), torch.ones(1, 2, 8, 8)], dim=1)
    actions = torch.full((1, 1, 8, 8), int(Action.WEAKEN))
    acted = apply_actions(images, actions, torch.full((1, 1, 8, 8), 0.3), intensity_range(images), image_channels=2)
    for channel in range(2):
        alone = images[:, channel : channel + 1]
        expected = apply_actions(alone, actions, torch.full((1, 1, 8, 8), 0.3), intensity_range(alone))
        assert_close(acted[:, channel : channel + 1], expected)
    assert torch.equal(acted[:, 2:], images[:, 2:])


def test_a_constant_image_stays_as_it_is() -> None:
    images = torch.full((1, 1, 4, 4), 7.5)
    actions = torch.randint(3, (1, 1, 4, 4))
    assert torch.equal(apply_actions(images, actions, torch.rand(1, 1, 4, 4), intensity_range(images)), images)


def test_actions_are_drawn_with_the_policys_probabilities_and_from_the_generator() -> None:
    probabilities = torch.tensor([0.7, 0.2, 0.1])
    logits = probabilities.log().view(1, 3, 1, 1).expand(1, 3, 200, 200)
    drawn = sample_actions(logits, torch.Generator().manual_seed(3))
    shares = torch.bincount(drawn.flatten(), minlength=3) / drawn.numel()
    assert_close(shares, probabilities, atol=0.01, rtol=0)  # 4 standard errors
    assert torch.equal(drawn, sample_actions(logits, torch.Generator().manual_seed(3)))
