"""What of SVL-DRL is the trainer's: the stages of a training, the size of its decoders, its settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL
from tests.trainer.fixtures import TINY_TRAININGS, make_trainer, train, with_network

pytestmark = TINY_TRAININGS


def test_the_stages_follow_each_other_and_the_log_says_so() -> None:
    shares = {"warm_up_share": 0.34, "transition_share": 0.33, "full_share": 0.33}
    trainer = make_trainer(nnUNetTrainerSVLDRL, settings={"svl_drl": shares}, epochs=3)
    log = train(trainer)
    assert log["svl_drl_stage"] == [0, 1, 2]
    text = Path(trainer.log_file).read_text()
    places = [text.index(f"SVL-DRL stage: {name}") for name in ("warm-up", "transition", "full")]
    assert places == sorted(places)
    shares_taken = [log[f"svl_drl_{action}_share"] for action in ("keep", "enhance", "weaken")]
    assert sum(share[2] for share in shares_taken) == pytest.approx(1)
    assert log["svl_drl_policy_entropy"][2] > 0
    saved = torch.load(Path(trainer.output_folder, "checkpoint_final.pth"), weights_only=False)
    assert {name.split(".")[0] for name in saved["svl_drl"]["beside"]} == {"value", "policy"}


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_both_decoders_have_at_most_half_the_weights_of_the_network(configuration: str) -> None:
    trainer = make_trainer(nnUNetTrainerSVLDRL, configuration=configuration)
    trainer.initialize()
    network, beside = (sum(w.numel() for w in m.parameters()) for m in (trainer.network, trainer.beside))
    assert beside <= network / 2


def test_a_network_without_skips_is_named_at_start() -> None:
    kind = with_network(nnUNetTrainerSVLDRL, "WithoutSkips", lambda: nn.Conv2d(1, 5, 1))
    with pytest.raises(
        RuntimeError, match=r"WithoutSkips needs a network of nnU-Net's U-Nets, .* found Conv2d; choose"
    ):
        make_trainer(kind).initialize()
