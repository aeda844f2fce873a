"""The stage machine, and the settings it comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nnunetv2_dale.svl_drl.config import SvlDrlConfig
from nnunetv2_dale.svl_drl.stages import LossWeights, Stage, loss_weights, stage_of


@pytest.mark.parametrize(
    ("epochs", "shares", "expected"),
    [
        (10, (0.3, 0.2, 0.5), "WWWTTFFFFF"),
        (5, (0.3, 0.2, 0.5), "WTFFF"),
        (4, (0.0, 0.0, 1.0), "FFFF"),
        (4, (1.0, 0.0, 0.0), "WWWW"),
        (4, (0.0, 1.0, 0.0), "TTTT"),
        (1, (0.3, 0.2, 0.5), "F"),
    ],
)
def test_every_epoch_has_the_stage_of_its_middle(epochs: int, shares: tuple[float, float, float], expected) -> None:
    assert "".join(stage_of(epoch, epochs, shares).name[0] for epoch in range(epochs)) == expected


def test_the_longest_training_spends_its_shares() -> None:
    stages = [stage_of(epoch, 1000, SvlDrlConfig().stage_shares) for epoch in range(1000)]
    assert [stages.count(stage) for stage in Stage] == [300, 200, 500]
    assert stages == sorted(stages)


def test_the_weights_of_the_losses_by_hand() -> None:
    config = replace(SvlDrlConfig(), value_in_transition=0.2, value_weight=0.3, policy_weight=0.1)
    assert loss_weights(Stage.WARM_UP, config) == LossWeights(1.0, 0.0, 0.0)
    assert loss_weights(Stage.TRANSITION, config) == LossWeights(0.8, 0.2, 0.0)
    full = loss_weights(Stage.FULL, config)
    assert (full.segmentation, full.value, full.policy) == pytest.approx((0.6, 0.3, 0.1))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"warm_up_share": 0.4}, r"must sum to 1, got 0.4 \+ 0.2 \+ 0.5 = 1.1; give all three"),
        ({"warm_up_share": -0.5}, "warm_up_share must be in 0 to 1, got -0.5"),
        ({"steps": 0}, "steps must be in 1 to 100, got 0"),
        ({"reward": "case"}, r"reward must be one of edit \| share \| volume \| voxel, got 'case'"),
        ({"value_weight": 0.7, "policy_weight": 0.3}, "must leave a part of 1 for the segmentation"),
    ],
)
def test_bad_settings_are_one_sentence(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(SvlDrlConfig(), **changes)  # type: ignore[arg-type]
