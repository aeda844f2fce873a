"""nnUNetTrainerDALE with its own settings trains whatever nnU-Net trains, remembers its cases and resumes with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2_dale.case_trust.single_update_step import SingleUpdateStep
from torch import Tensor

from nnunetv2_dale.case_trust.case_displacement import CaseDisplacement
from nnunetv2_dale.dale.config import RECOMMENDED
from nnunetv2_dale.nnunet_files.displacement_file import FILE
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.training_log import SCALARS
from tests.tiny_plans import architecture
from tests.trainer.fixtures import (
    TINY_TRAININGS,
    SeededEpochs,
    log_of,
    make_trainer,
    next_batch,
    nnunet,  # noqa: F401 -- a fixture
    started,
    stop_after,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS


def test_its_settings_are_the_recommended_ones() -> None:
    assert nnUNetTrainerDALE.dale == RECOMMENDED
    trainer = started(make_trainer(nnUNetTrainerDALE))
    assert isinstance(trainer.alternating_step, SingleUpdateStep)


@pytest.mark.parametrize(
    ("kind", "configuration", "settings"),
    [
        ("Labels", "2d", {}),
        ("Labels", "3d_fullres", {}),
        ("Regions", "2d", {}),
        ("Ignore", "2d", {}),
        ("RegionsIgnore", "2d", {}),
        ("Labels", "2d", {"architecture": architecture(2, residual=True)}),
        ("Labels", "3d_fullres", {"architecture": architecture(3, residual=True)}),
        ("Labels", "2d", {"dale": {"alignment_weight": 0.05, "confidence_scope": "fuzzy"}}),
        ("Labels", "2d", {"dale": {"updates": "one_view", "view": "masked_loss"}}),
        ("Labels", "2d", {"dale": {"confidence_source": "displacement"}}),
        ("Labels", "2d", {"dale": {"updates": "both_views", "confidence_source": "hypergradient_and_likelihood"}}),
    ],
)
def test_trains(kind: str, configuration: str, settings: dict[str, Any]) -> None:
    settings = {**settings, "dale": {"confidence_after": 0, **settings.get("dale", {})}}  # so short, ω would never act
    trainer = make_trainer(nnUNetTrainerDALE, kind, configuration, settings=settings, epochs=2, iterations=4)
    trainer.initialize()
    before = weights_of(trainer)
    log = train(trainer)
    assert all(len(log[f"dale_{name}"]) == 2 and np.isfinite(log[f"dale_{name}"]).all() for name in SCALARS)
    assert all(np.isfinite(log["train_losses"]))
    after = weights_of(trainer)
    assert all(weight.isfinite().all() for weight in after.values())
    unused = "decoder.seg_layers.0."  # nnU-Net gives the lowest resolution no weight in the loss
    assert all(unused in name for name in after if torch.equal(after[name], before[name]))


@pytest.mark.parametrize("settings", [{}, {"confidence_start": 0.0, "confidence_after": 0}])
def test_before_its_start_and_without_groups_an_iteration_is_plain_nnunets(settings: dict[str, Any]) -> None:
    """Same weights after two iterations, up to the order of sums."""
    weights = []
    for kind in (nnUNetTrainer, nnUNetTrainerDALE):
        torch.manual_seed(0)
        trainer = started(make_trainer(kind, settings={"dale": settings}, epochs=10))
        for seed in range(2):
            trainer.train_step(next_batch(trainer, seed))
        weights.append(weights_of(trainer))
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("settings", [{"confidence_after": 0}, {"confidence_start": 0.0, "confidence_after": 6}])
def test_omega_acts_from_its_start_on(settings: dict[str, Any]) -> None:
    """Three tenths of two epochs of ten iterations; or six of them, whatever the length of the training."""
    trainer = started(make_trainer(nnUNetTrainerDALE, settings={"dale": settings}, epochs=2, iterations=10))
    trainer.on_train_epoch_start()
    assert trainer.alternating_step is not None
    held_back = []
    for seed in range(10):
        trainer.train_step(next_batch(trainer, seed))
        held_back.append(trainer.alternating_step.trust_all)
    assert held_back == [True] * 6 + [False] * 4


class Seeded(SeededEpochs, nnUNetTrainerDALE):
    """The default on the same batches in the same epoch."""


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in what it remembers of the cases, without which ω would differ."""
    dale = {"confidence_start": 0.0, "confidence_after": 0, "displacement_tolerance": 0.0, "displacement_fewest": 1}
    everything = {"dale": dale}
    torch.manual_seed(0)
    whole = make_trainer(Seeded, epochs=3, settings=everything)
    train(whole)
    remembered = json.loads(Path(whole.output_folder, FILE).read_text())["cases"]

    monkeypatch.setenv("nnUNet_results", str(tmp_path / "interrupted"))
    torch.manual_seed(0)
    stop_after(make_trainer(Seeded, epochs=3, settings=everything), epochs=2)
    resumed = make_trainer(Seeded, epochs=3, settings=everything, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    train(resumed)

    expected = weights_of(whole)
    for name, weight in weights_of(resumed).items():
        torch.testing.assert_close(weight, expected[name], atol=1e-6, rtol=1e-5)
    again = json.loads(Path(resumed.output_folder, FILE).read_text())["cases"]
    assert set(again) == set(remembered)
    for case, sums in remembered.items():
        np.testing.assert_allclose(again[case]["excess"], sums["excess"], rtol=1e-3, atol=1e-3)
    assert log_of(resumed)["dale_confidence_std"][-1] > 0


def test_without_checkpoints_there_is_no_file() -> None:
    trainer = make_trainer(nnUNetTrainerDALE)
    trainer.disable_checkpointing = True
    train(trainer)
    assert not Path(trainer.output_folder, FILE).exists()


def test_a_lost_file_is_learned_again() -> None:
    train(make_trainer(nnUNetTrainerDALE, epochs=1))
    trainer = make_trainer(nnUNetTrainerDALE, epochs=2, resume=True)
    file = Path(trainer.output_folder, FILE)
    file.unlink()
    file.with_name("checkpoint_final.pth").rename(file.with_name("checkpoint_latest.pth"))
    maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
    train(trainer)
    assert file.exists()


def test_the_images_are_seen_whole_and_once() -> None:
    trainer = started(make_trainer(nnUNetTrainerDALE))
    seen: list[Tensor] = []
    trainer.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    batch = next_batch(trainer)
    trainer.train_step(batch)
    assert len(seen) == 1
    assert torch.equal(seen[0], batch["data"])


@pytest.mark.parametrize(("start", "told"), [(0.0, 2), (0.5, 1), (1.0, 0)])
def test_the_log_tells_the_groups_it_doubts(start: float, told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the beginning of each epoch in which ω may act."""
    monkeypatch.setattr(CaseDisplacement, "look_for_groups", lambda *_: ["label 1: 2 of 4 cases"])
    settings = {"dale": {"confidence_start": start, "confidence_after": 0}}
    trainer = make_trainer(nnUNetTrainerDALE, settings=settings, epochs=2)
    train(trainer)
    assert Path(trainer.log_file).read_text().count("DALE groups: label 1: 2 of 4 cases") == told
