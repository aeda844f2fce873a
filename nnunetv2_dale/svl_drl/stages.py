"""The three stages of a training, and what each weighs in the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from nnunetv2_dale.svl_drl.config import SvlDrlConfig


class Stage(IntEnum):
    """Where a training stands."""

    WARM_UP = 0  # the segmentation alone
    TRANSITION = 1  # and the value of what a random policy does
    FULL = 2  # and the policy


@dataclass(frozen=True)
class LossWeights:
    """Factors of L_seg, L_value and L_policy; they sum to 1."""

    segmentation: float
    value: float
    policy: float


def stage_of(epoch: int, epochs: int, shares: Sequence[float]) -> Stage:
    """Return the stage in which the middle of an epoch falls.

    Args:
        epoch: from 0.
        epochs: of the whole training.
        shares: of the three stages, summing to 1.
    """
    middle = (epoch + 0.5) / epochs
    if middle < shares[0]:
        return Stage.WARM_UP
    return Stage.TRANSITION if middle < shares[0] + shares[1] else Stage.FULL


def loss_weights(stage: Stage, config: SvlDrlConfig) -> LossWeights:
    """Weigh the losses of a stage. Warm-up: L_seg.

    Transition: (1 − λ) L_seg + λ L_value. Full: (1 − α − β) L_seg + α L_value + β L_policy.
    """
    if stage is Stage.WARM_UP:
        return LossWeights(1.0, 0.0, 0.0)
    if stage is Stage.TRANSITION:
        return LossWeights(1 - config.value_in_transition, config.value_in_transition, 0.0)
    return LossWeights(1 - config.value_weight - config.policy_weight, config.value_weight, config.policy_weight)
