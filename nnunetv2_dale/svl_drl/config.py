"""The settings of SVL-DRL. What the paper's summaries do not state is our choice; docs/other_methods.md says which."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from nnunetv2_dale.dale.validated_settings import ValidatedSettings, choice, number

RewardKind = Literal["edit", "share", "volume", "voxel"]
ActionSource = Literal["policy", "uniform"]


@dataclass(frozen=True)
class SvlDrlConfig(ValidatedSettings):
    """Stages, actions, reward and loss weights.

    Raises:
        ValueError: also stage shares that do not sum to 1, or nothing left for the segmentation.
    """

    plans_key: ClassVar[str] = "svl_drl"

    warm_up_share: float = number(0.3, 0.0, 1.0, "part of the epochs with the segmentation's loss alone")
    transition_share: float = number(0.2, 0.0, 1.0, "part of the epochs in which the value is learned too")
    full_share: float = number(0.5, 0.0, 1.0, "part of the epochs in which the policy is learned too")
    steps: int = number(3, 1, 100, "T: edits of an image in one iteration")
    action_strength: float = number(0.3, 0.0, 1.0, "the most an action changes a scaled intensity, relative to it")
    actions: ActionSource = choice("policy", ActionSource, "who draws them; uniform: a third each, nothing to learn")
    edited_weight: float = number(
        0.0, 0.0, 1.0, "what an edited image counts in the segmentation's loss, beside 1 of the untouched one"
    )
    reward: RewardKind = choice(
        "edit",
        RewardKind,
        "what a voxel's edit changed, its share of what changed, all of its volume's, or its own error's (PixelRL)",
    )
    continuity_weight: float = number(
        0.1, -10.0, 10.0, "how far C lowers the reward; below 0 it raises it, the paper's printed sign"
    )
    discount: float = number(0.0, 0.0, 1.0, "gamma of the returns; 0: each edit is judged by what it changed at once")
    value_in_transition: float = number(0.1, 0.0, 1.0, "lambda: weight of the value's loss in the transition")
    value_weight: float = number(0.1, 0.0, 1.0, "alpha: weight of the value's loss in the full stage")
    policy_weight: float = number(0.05, 0.0, 1.0, "beta: weight of the policy's loss in the full stage")
    entropy_weight: float = number(0.01, 0.0, 10.0, "beta_H: how far an undecided policy is rewarded")
    decoder_width: float = number(
        0.5, 0.01, 0.5, "channels of the value and the policy decoder, as a part of the encoder's"
    )

    decoder_lr: float = number(0.01, 1e-6, 1.0, "of Adam, which trains the value and the policy decoder")

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = self.stage_shares
        if not math.isclose(sum(shares), 1, abs_tol=1e-6):
            added = " + ".join(f"{share:g}" for share in shares)
            raise ValueError(
                f"warm_up_share, transition_share and full_share must sum to 1, got {added} = {sum(shares):g}; "
                "give all three"
            )
        if self.value_weight + self.policy_weight >= 1:
            raise ValueError(
                "value_weight and policy_weight must leave a part of 1 for the segmentation, "
                f"got {self.value_weight:g} and {self.policy_weight:g}"
            )

    @property
    def stage_shares(self) -> tuple[float, float, float]:
        """Of warm-up, transition and full stage."""
        return self.warm_up_share, self.transition_share, self.full_share
