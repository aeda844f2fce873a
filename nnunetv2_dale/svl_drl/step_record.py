"""What happened in one iteration of SVL-DRL: its episode, and the numbers of the log."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nnunetv2_dale.svl_drl.intensity_actions import Action
from nnunetv2_dale.svl_drl.stages import Stage


@dataclass(frozen=True)
class Episode:
    """T edits of a batch under the policy of now, without gradient."""

    states: list[Tensor]  # s_0 … s_{T−1}, (B, C, *S) each
    actions: list[Tensor]  # (B, 1, *S) each
    returns: list[Tensor]  # R_0 … R_{T−1}, (B, 1, *S) each
    gains: list[Tensor]  # first part of r_t, (B, 1, …) each
    costs: list[Tensor]  # second part, likewise


@dataclass(frozen=True)
class StepRecord:
    """Scalars on the device. In the warm-up all but two are not a number."""

    stage: Tensor  # a number of `Stage`
    loss: Tensor  # L_seg
    reward: Tensor  # of an episode: the sum of the mean r_t
    reward_gain: Tensor  # of it, the gain in Dice (or the fall of the squared error)
    reward_continuity: Tensor  # of it, −w C; of edits −w times the change of the variation; 0 for the reward of voxels
    reward_first_step: Tensor  # mean r_1
    reward_last_step: Tensor  # mean r_T
    value_loss: Tensor
    policy_entropy: Tensor  # nats, at most log 3
    keep_share: Tensor  # part of the actions taken
    enhance_share: Tensor
    weaken_share: Tensor

    @classmethod
    def of(
        cls,
        stage: Stage,
        segmentation: Tensor,
        value: Tensor | None = None,
        entropy: Tensor | None = None,
        episode: Episode | None = None,
    ) -> StepRecord:
        """Return the numbers of an iteration, from L_seg, L_value and the policy's entropy."""
        at = torch.full_like(segmentation, float(stage))
        if value is None or entropy is None or episode is None:
            return cls(at, segmentation, *[torch.full_like(segmentation, torch.nan)] * 10)
        gains, costs = (torch.stack([each.mean() for each in part]) for part in (episode.gains, episode.costs))
        rewards = gains + costs
        of_reward = (rewards.sum(), gains.sum(), costs.sum(), rewards[0], rewards[-1])
        taken = torch.stack(episode.actions)
        return cls(at, segmentation, *of_reward, value, entropy, *((taken == each).float().mean() for each in Action))
