"""The semi-supervised trainers with what people know about the labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.with_unlabelled import TrainsWithUnlabelled
from tests.datasets import CASES, WITHOUT_LABELS
from tests.trainer.every_method import BY_AND_BY, FAMILIES, make, settings_of
from tests.trainer.fixtures import (
    TINY_TRAININGS,
    doubted,
    give_confidence,
    in_half,
    next_batch,
    started,
    state_of,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS
SEMI_SUPERVISED = pytest.mark.parametrize(
    "trainer_class",
    [kind for kind in FAMILIES if issubclass(kind, TrainsWithUnlabelled)],
    ids=lambda kind: kind.__name__,
)


def semi_supervised(trainer_class: type[SafeTraining]) -> SafeTraining:
    """Of supervision alone: no agreement, no weight decay."""
    names = (f"agreement_{name}" for name in ("first", "second", "third", "last"))
    torch.manual_seed(0)
    trainer = started(make(trainer_class, settings=without(trainer_class, names)))
    for optimizer in (trainer.optimizer, trainer.adamw):
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.0
    return trainer


def without(trainer_class: type[SafeTraining], names: Iterable[str]) -> dict[str, Any]:
    (key, settings), *_ = settings_of(trainer_class, BY_AND_BY).items()
    return {key: {**settings, **dict.fromkeys(names, 0.0)}}


@SEMI_SUPERVISED
def test_a_semi_supervised_training_takes_it(trainer_class: type[SafeTraining], nnunet, tmp_path, monkeypatch) -> None:
    configuration = make(trainer_class).configuration_name
    labelled = [case for case in CASES[1:] if case not in WITHOUT_LABELS]
    table = f"case,weight,liver\n{labelled[0]},0.5,0\n{labelled[1]},0,1\n"
    give_confidence(tmp_path / "preprocessed", monkeypatch, table, in_half, "Unlabelled", configuration)
    trainer = make(trainer_class, epochs=2, iterations=2)
    log = train(trainer)
    assert np.isfinite([log["train_losses"], log["val_losses"]]).all()
    assert all(np.isfinite(value).all() for value in state_of(trainer).values() if isinstance(value, np.ndarray))
    said = Path(trainer.log_file).read_text()
    assert f"confidence: 1 of 4 training cases of weight 0, which are left out ({labelled[1]})" in said
    assert f"{trainer.method}: 1 labelled training case, 2 unlabelled" in said


@SEMI_SUPERVISED
def test_of_a_case_with_confidence_0_the_supervised_losses_learn_nothing(
    trainer_class: type[SafeTraining], nnunet, tmp_path, monkeypatch
) -> None:
    """With confidence 1 everywhere, terms and gradients are those of a training with nothing given."""
    plain = semi_supervised(trainer_class)
    batch = next_batch(plain)
    batch["keys"] = [case for case in CASES[1:] if case not in WITHOUT_LABELS]
    before, expected = weights_of(plain), plain.train_step(clone_batch(batch))
    configuration = plain.configuration_name
    give_confidence(
        tmp_path / "preprocessed",
        monkeypatch,
        "case\n",
        lambda image: np.ones_like(image[:1]),
        "Unlabelled",
        configuration,
    )
    sure, doubting = (semi_supervised(trainer_class) for _ in range(2))
    found = sure.train_step(doubted(clone_batch(batch), 0.0))
    np.testing.assert_allclose(found[sure.settings_of[0]], expected[plain.settings_of[0]], rtol=1e-4, atol=1e-6)
    for name, weight in plain.network.named_parameters():  # AdamW's step makes much of a gradient that rounding left
        assert_close(sure.network.get_parameter(name).grad, weight.grad, rtol=1e-3, atol=1e-6, msg=name)
    assert any(not torch.equal(weight, before[name]) for name, weight in weights_of(sure).items())
    doubting.train_step(doubted(clone_batch(batch), 1.0))
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(doubting).items())


def clone_batch(batch: dict[str, Any]) -> dict[str, Any]:
    return {**batch, "data": batch["data"].clone()}
