"""nnUNetTrainerCaseTrust: plain nnU-Net until cases fall into groups; its memory of them is that of the checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.trainer.case_trust import (
    nnUNetTrainerCaseTrust,
)
from tests.trainer.fixtures import (
    TINY_TRAININGS,
    log_of,
    make_trainer,
    next_batch,
    started,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS


def test_without_groups_an_iteration_is_plain_nnunets() -> None:
    """Same weights after two iterations, up to the order of sums."""
    weights = []
    for kind in (nnUNetTrainer, nnUNetTrainerCaseTrust):
        torch.manual_seed(0)
        trainer = started(make_trainer(kind, epochs=10))
        for seed in range(2):
            trainer.train_step(next_batch(trainer, seed))
        weights.append(weights_of(trainer))
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-4, atol=1e-6)


def test_the_log_has_the_numbers() -> None:
    trainer = make_trainer(nnUNetTrainerCaseTrust, epochs=2)
    train(trainer)
    assert '"trust_mean": 1.0, "trust_std": 0.0' in Path(trainer.log_file).read_text()
    assert log_of(trainer)["case_trust_mean"] == [1.0, 1.0]
