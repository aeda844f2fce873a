"""What a training logs of DALE, in nnU-Net's text log and in Weights & Biases."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from nnunetv2.training.logging import nnunet_logger

from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from tests.trainer.fixtures import (
    DALE_KEYS,
    TINY_TRAININGS,
    make_trainer,
    train,
)

pytestmark = TINY_TRAININGS


class FakeRun:
    """A Weights & Biases run that remembers what it is told."""

    def __init__(self) -> None:
        self.step, self.summary, self.logged = 0, {}, []
        self.values: dict[str, Any] = {}
        self.config = SimpleNamespace(update=self.values.update)

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((step, values))


def test_weights_and_biases_gets_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun()
    monkeypatch.setattr(nnunet_logger, "wandb", SimpleNamespace(init=lambda **_: run))
    monkeypatch.setenv("nnUNet_wandb_enabled", "1")
    trainer = make_trainer(Printed, epochs=2)
    log = train(trainer)
    for key in DALE_KEYS:
        assert [values[key] for _, values in run.logged if key in values] == log[key]
        assert [step for step, values in run.logged if key in values] == [0, 1]
    assert run.values["dale"]["fuzzy_threshold"] == 0.9
