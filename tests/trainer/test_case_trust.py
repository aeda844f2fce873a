"""nnUNetTrainerCaseTrust: plain nnU-Net until cases fall into groups; its memory of them is that of the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.case_trust.case_displacement import CaseDisplacement
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.nnunet_files.displacement_file import FILE
from nnunetv2_dale.trainer.case_trust import (
    nnUNetTrainerCaseTrust,
    nnUNetTrainerCaseTrust_5epochs,
    nnUNetTrainerCaseTrust_50epochs,
    nnUNetTrainerCaseTrust_250epochs,
)
from tests.tiny_plans import architecture
from tests.trainer.fixtures import (
    EAGER_TO_DOUBT,
    NNUNET_KEYS,
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


@pytest.mark.parametrize(
    ("kind", "configuration", "settings"),
    [
        ("Labels", "2d", {}),
        ("Labels", "3d_fullres", {}),
        ("Regions", "2d", {}),
        ("Ignore", "2d", {}),
        ("RegionsIgnore", "2d", {}),
        ("Labels", "2d", {"architecture": architecture(2, residual=True)}),
    ],
)
def test_trains(kind: str, configuration: str, settings: dict[str, Any]) -> None:
    trainer = make_trainer(
        nnUNetTrainerCaseTrust, kind, configuration, settings={**settings, **EAGER_TO_DOUBT}, epochs=2, iterations=4
    )
    trainer.initialize()
    before = weights_of(trainer)
    log = train(trainer)
    assert set(log) == NNUNET_KEYS | {"case_trust_mean", "case_trust_std"}
    assert log["case_trust_mean"][0] == 1
    assert 0 < log["case_trust_mean"][1] < 1
    assert np.isfinite(log["train_losses"]).all()
    after = weights_of(trainer)
    assert all(weight.isfinite().all() for weight in after.values())
    unused = "decoder.seg_layers.0."  # nnU-Net gives the lowest resolution no weight in the loss
    assert all(unused in name for name in after if torch.equal(after[name], before[name]))


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


def test_lengths_and_settings() -> None:
    lengths = {5: nnUNetTrainerCaseTrust_5epochs, 50: nnUNetTrainerCaseTrust_50epochs}
    for epochs, kind in (lengths | {250: nnUNetTrainerCaseTrust_250epochs, 1000: nnUNetTrainerCaseTrust}).items():
        trainer = make_trainer(kind, epochs=None)
        assert trainer.num_epochs == epochs
        assert trainer.case_trust == CaseTrustConfig()
    changed = make_trainer(nnUNetTrainerCaseTrust, settings={"case_trust": {"tolerance": 1.5}})
    assert changed.case_trust.tolerance == 1.5
    with pytest.raises(
        ValueError, match=r"unknown setting 'displacement_tolerance' in .case_trust.\. Valid are: start"
    ):
        make_trainer(nnUNetTrainerCaseTrust, settings={"case_trust": {"displacement_tolerance": 1.5}})


class Seeded(SeededEpochs, nnUNetTrainerCaseTrust):
    """On the same batches in the same epoch."""


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit, also in what it remembers of the cases, without which the weights of labels would differ."""
    torch.manual_seed(0)
    whole = make_trainer(Seeded, epochs=3, iterations=3, settings=EAGER_TO_DOUBT)
    whole_log = train(whole)
    remembered = json.loads(Path(whole.output_folder, FILE).read_text())["cases"]

    monkeypatch.setenv("nnUNet_results", str(tmp_path / "interrupted"))
    torch.manual_seed(0)
    stop_after(make_trainer(Seeded, epochs=3, iterations=3, settings=EAGER_TO_DOUBT), epochs=2)
    resumed = make_trainer(Seeded, epochs=3, iterations=3, settings=EAGER_TO_DOUBT, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    resumed_log = train(resumed)

    expected = weights_of(whole)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights_of(resumed).items())
    assert json.loads(Path(resumed.output_folder, FILE).read_text())["cases"] == remembered
    for key in ("case_trust_mean", "case_trust_std", "train_losses"):
        assert resumed_log[key] == whole_log[key]
    assert whole_log["case_trust_mean"][2] < 1


def test_without_checkpoints_there_is_no_file() -> None:
    trainer = make_trainer(nnUNetTrainerCaseTrust)
    trainer.disable_checkpointing = True
    train(trainer)
    assert not Path(trainer.output_folder, FILE).exists()


@pytest.mark.parametrize(("start", "told"), [(0.0, 2), (0.5, 1), (1.0, 0)])
def test_the_log_tells_the_groups_it_doubts(start: float, told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the beginning of each epoch in which cases may be doubted."""
    monkeypatch.setattr(CaseDisplacement, "look_for_groups", lambda *_: ["label 1: 2 of 4 cases"])
    trainer = make_trainer(nnUNetTrainerCaseTrust, settings={"case_trust": {"start": start, "after": 0}}, epochs=2)
    train(trainer)
    assert Path(trainer.log_file).read_text().count("groups of cases: label 1: 2 of 4 cases") == told


def test_the_log_has_the_numbers() -> None:
    trainer = make_trainer(nnUNetTrainerCaseTrust, epochs=2)
    train(trainer)
    assert '"trust_mean": 1.0, "trust_std": 0.0' in Path(trainer.log_file).read_text()
    assert log_of(trainer)["case_trust_mean"] == [1.0, 1.0]
