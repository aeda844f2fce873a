"""The printed method trains whatever nnU-Net trains: real, very short trainings on a CPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.logging import nnunet_logger
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_noDeepSupervision
from tests.datasets import CASES, NnunetFolders, architecture
from tests.run_commands import use_threads
from tests.trainer.fixtures import (
    DALE_KEYS,
    TINY_TRAININGS,
    check_log,
    first_of_cascade,
    log_of,
    make_trainer,
    next_batch,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS


class OneOutput(nnUNetTrainerDALE_noDeepSupervision):
    """The printed method without deep supervision."""

    dale = Printed.dale


@pytest.mark.parametrize(
    ("trainer_class", "configuration", "settings"),
    [
        pytest.param(Printed, "2d", {}, id="2d"),
        pytest.param(Printed, "3d_fullres", {"architecture": architecture(3, residual=True)}, id="ResEnc-3d"),
        pytest.param(OneOutput, "3d_fullres", {}, id="no-deep-supervision-3d"),
    ],
)
def test_its_loss_falls(trainer_class: type[nnUNetTrainer], configuration: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(1)
    trainer = make_trainer(trainer_class, configuration=configuration, settings=settings, epochs=2, iterations=4)
    trainer.initialize()
    assert type(trainer.network).__name__ == ("ResidualEncoderUNet" if settings else "PlainConvUNet")
    batch = batch_of_this_training(trainer)
    loss_before = plain_loss(trainer, batch)
    check_log(train(trainer), epochs=2)
    assert plain_loss(trainer, batch) < loss_before


def batch_of_this_training(trainer: nnUNetTrainer) -> dict[str, Any]:
    trainer.dataloader_train, _ = trainer.get_dataloaders()
    return next_batch(trainer, seed=1)


@torch.no_grad()
def plain_loss(trainer: nnUNetTrainer, batch: dict[str, Any]) -> float:
    """nnU-Net's own loss of a batch in its training form."""
    trainer.network.eval()
    targets = batch["target"]
    copies = [target.clone() for target in targets] if isinstance(targets, list) else targets.clone()
    return float(trainer.validation_step({"data": batch["data"], "target": copies})["loss"])


def test_cascade(nnunet: NnunetFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    """3d_lowres predicts the cases for 3d_cascade_fullres, which gets them as one-hot channels that no mask touches."""
    use_threads(monkeypatch)
    small_patches = {"dale": {"patch_size": 4}}  # so few voxels are a single patch of 16
    low = make_trainer(Printed, configuration="3d_lowres", fold="all", settings=small_patches)
    images, seen = first_of_cascade(make_trainer(Printed, configuration="3d_cascade_fullres"), low)
    check_log(log_of(low), epochs=1)
    predicted = Path(low.output_folder_base, "predicted_next_stage", "3d_cascade_fullres")
    assert len(list(predicted.glob("*.b2nd"))) == len(CASES)
    assert images.shape[1] == 1 + 4  # the image, and the foreground classes of the previous stage
    assert images[:, 1:].any()
    assert len(seen) == 2  # the non-fuzzy view and the fuzzy view
    for view in seen:
        assert torch.equal(view[:, 1:], images[:, 1:])
        assert not torch.equal(view[:, :1], images[:, :1])
    check_log(train(make_trainer(Printed, configuration="3d_cascade_fullres", fold=0)), epochs=1)


def test_starts_from_the_weights_of_plain_nnunet() -> None:
    plain = make_trainer(nnUNetTrainer)
    train(plain)
    file = str(Path(plain.output_folder, "checkpoint_final.pth"))
    trainer = make_trainer(Printed)
    maybe_load_checkpoint(trainer, continue_training=False, validation_only=False, pretrained_weights_file=file)
    loaded, expected = weights_of(trainer), weights_of(plain)
    assert all(torch.equal(loaded[name], expected[name]) for name in expected if ".seg_layers." not in name)
    check_log(train(trainer), epochs=1)


# --- settings of the plans, and Weights & Biases ----------------------------------------------------------------------


class FakeRun:
    """A Weights & Biases run that remembers what it is told."""

    def __init__(self) -> None:
        self.step, self.summary, self.logged = 0, {}, []
        self.values: dict[str, Any] = {}
        self.config = SimpleNamespace(update=self.values.update)

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((step, values))


def test_settings_come_from_the_plans_and_weights_and_biases_gets_the_same_numbers(monkeypatch) -> None:
    run = FakeRun()
    monkeypatch.setattr(nnunet_logger, "wandb", SimpleNamespace(init=lambda **_: run))
    monkeypatch.setenv("nnUNet_wandb_enabled", "1")
    settings = {"dale": {"confidence_steps": 0, "alignment_weight": 0.25, "patch_size": 4}}
    trainer = make_trainer(Printed, settings=settings, epochs=2)
    log = train(trainer)
    assert (trainer.dale.confidence_steps, trainer.dale.alignment_weight, trainer.dale.patch_size) == (0, 0.25, 4)
    assert Printed.dale.confidence_steps == 1
    assert log["dale_confidence_mean"] == [1.0, 1.0]
    for key in DALE_KEYS:
        assert [values[key] for _, values in run.logged if key in values] == log[key]
        assert [step for step, values in run.logged if key in values] == [0, 1]
    assert (run.values["dale"]["fuzzy_threshold"], run.values["dale"]["patch_size"]) == (0.9, 4)


def test_the_patch_size_of_the_plans_changes_what_is_fuzzy() -> None:
    """With one patch per image the fuzziness is constant, hence 0 after min–max: nothing is fuzzy."""
    log = train(make_trainer(Printed, settings={"dale": {"patch_size": 32}}))
    assert log["dale_fuzzy_fraction"] == [0.0]


def test_the_trust_of_cases_needs_whole_batches() -> None:
    with pytest.raises(ValueError, match="phase_in 0 and every 1 leave none"):
        make_trainer(Printed, settings={"dale": {"case_trust": "groups"}})
    for enough in ({"every": 2}, {"phase_in": 0.1}):
        trainer = make_trainer(Printed, settings={"dale": {"case_trust": "groups", **enough}})
        assert trainer.dale.case_trust == "groups"
