"""The numbers of an iteration, by hand."""

from __future__ import annotations

import torch

from nnunetv2_dale.svl_drl.stages import Stage
from nnunetv2_dale.svl_drl.step_record import Episode, StepRecord


def test_the_reward_of_an_episode_is_the_sum_over_its_steps_by_hand() -> None:
    """Two volumes of two voxels, three steps; gains 0.1, 0.3 and 0.2 in the mean, costs of 0.05 each."""

    def spread(mean: float) -> torch.Tensor:
        return mean + torch.tensor([[[[-1.0, 1.0]]], [[[2.0, -2.0]]]])

    actions = [torch.tensor(each).view(2, 1, 1, 2) for each in ([0, 0, 1, 2], [0, 1, 1, 1], [0, 0, 0, 1])]
    gains, costs = [spread(mean) for mean in (0.1, 0.3, 0.2)], [torch.full((2, 1, 1, 1), -0.05)] * 3
    one = torch.tensor(1.0)
    record = StepRecord.of(Stage.FULL, one, 2 * one, 3 * one, Episode([], actions, [], gains, costs))
    found = {name: round(value.item(), 5) for name, value in vars(record).items()}
    assert found == {
        "stage": 2.0,
        "loss": 1.0,
        "reward": 0.45,
        "reward_gain": 0.6,
        "reward_continuity": -0.15,
        "reward_first_step": 0.05,
        "reward_last_step": 0.15,
        "value_loss": 2.0,
        "policy_entropy": 3.0,
        "keep_share": 0.5,
        "enhance_share": 0.41667,
        "weaken_share": 0.08333,
    }


def test_a_warm_up_has_a_stage_and_a_loss() -> None:
    record = StepRecord.of(Stage.WARM_UP, torch.tensor(0.7))
    assert {name for name, value in vars(record).items() if not value.isnan()} == {"stage", "loss"}
