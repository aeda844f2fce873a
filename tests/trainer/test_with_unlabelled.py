"""What DKNet and DK-UXNet share: which cases have no labels, that these teach, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.dknet import nnUNetTrainerDKNet
from nnunetv2_dale.trainer.with_unlabelled import NUMBERS
from tests.datasets import CASES, LABEL_KINDS, WITHOUT_LABELS
from tests.trainer.fixtures import TINY_TRAININGS, make_unlabelled, next_batch, started, weights_of

Made = Callable[..., Any]
pytestmark = [
    *TINY_TRAININGS,
    pytest.mark.parametrize(
        "made",
        [partial(make_unlabelled, kind) for kind in (nnUNetTrainerDKNet, nnUNetTrainerDKUXNet)],
        ids=["DKNet", "DK-UXNet"],
    ),
]
QUARTERS = tuple(f"agreement_{name}" for name in ("first", "second", "third", "last"))


def test_finds_the_unlabelled_cases_and_says_how_many(made: Made) -> None:
    trainer = started(made())
    assert trainer.unlabelled == WITHOUT_LABELS
    said = f"{trainer.method}: 2 labelled training cases, 2 unlabelled ({CASES[1]}, {CASES[3]})"
    assert said in Path(trainer.log_file).read_text()


def test_groups_start_at_the_shares_of_the_labelled_cases(made: Made) -> None:
    trainer = started(made())
    assert sum(trainer.class_shares) == pytest.approx(1)
    assert trainer.class_shares[0] > 0.4
    queries = trainer._queries()
    background = queries.bias.softmax(0)[: queries.group_sizes[0]].sum().item()
    assert background == pytest.approx(trainer.class_shares[0], abs=0.01)


def test_unlabelled_cases_change_the_weights_by_the_agreements_alone(made: Made) -> None:
    """A batch of nothing else; without agreements nothing moves but by decay."""

    def moved(agreement: float) -> int:
        torch.manual_seed(0)
        trainer = started(made(settings=dict.fromkeys(QUARTERS, agreement)))
        trainer.optimizer.param_groups[0]["weight_decay"] = 0.0
        batch, before = next_batch(trainer), weights_of(trainer)
        batch["keys"] = sorted(WITHOUT_LABELS)
        record = trainer.train_step(batch)[trainer.settings_of[0]]
        numbers = dict(zip(NUMBERS, record.tolist(), strict=False))  # DKNet's loss comes after them
        assert all(np.isnan(numbers[name]) for name in ("convolution", "query", "groups", "layers"))
        assert numbers["labelled"] == 0
        return sum(not torch.equal(weight, before[name]) for name, weight in weights_of(trainer).items())

    assert moved(1.0) > 10
    assert moved(0.0) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"labels": LABEL_KINDS["Labels"]}, 'finds unlabelled cases by the ignore label, found no "ignore" among'),
        (
            {"labels": LABEL_KINDS["RegionsIgnore"]},
            "needs labels that exclude each other, found regions in dataset.json",
        ),
    ],
)
def test_refused_before_anything_is_written(made: Made, arguments: dict[str, Any], sentence: str, tmp_path) -> None:
    with pytest.raises((RuntimeError, ValueError), match=sentence):
        made(**arguments)
    assert not list((tmp_path / "results").rglob("*.pth"))


@pytest.mark.parametrize(("kept", "found"), [(set(CASES) - WITHOUT_LABELS, "2 and 0"), (WITHOUT_LABELS, "0 and 2")])
def test_a_training_without_cases_of_both_kinds_is_refused(made: Made, kept: set[str], found: str, monkeypatch) -> None:
    trainer = made()
    monkeypatch.setattr(trainer, "do_split", lambda: (sorted(kept - {CASES[0]}), [CASES[0]]))
    refused = f"{trainer.method} needs labelled cases .* found {found} in the training set; use nnUNetTrainer or"
    with pytest.raises(RuntimeError, match=refused):
        trainer.run_training()
    assert not Path(trainer.output_folder_base, "plans.json").exists()


def test_a_batch_of_one_is_refused(made: Made) -> None:
    with pytest.raises(RuntimeError, match="needs at least 2 samples on every GPU, found batch_size 1 in the plans"):
        made(plans={"batch_size": 1}).initialize()
