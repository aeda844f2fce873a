"""Checkpoints of a training, and a training that goes on from one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint

from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from tests.trainer.fixtures import (
    DALE_KEYS,
    NNUNET_KEYS,
    PHASE_KEYS,
    TINY_TRAININGS,
    SeededEpochs,
    check_log,
    make_trainer,
    nnunet,  # noqa: F401 -- a fixture
    stop_after,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS


class Seeded(SeededEpochs, Printed):
    """The printed method on the same batches in the same epoch."""


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    whole = make_trainer(Seeded, epochs=3)
    whole_log = train(whole)

    monkeypatch.setenv("nnUNet_results", str(tmp_path / "interrupted"))
    torch.manual_seed(0)
    stop_after(make_trainer(Seeded, epochs=3), epochs=2)
    resumed = make_trainer(Seeded, epochs=3, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    assert resumed.current_epoch == 2
    resumed_log = train(resumed)

    check_log(resumed_log, epochs=3)
    expected = weights_of(whole)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights_of(resumed).items())
    assert all(resumed_log[key] == whole_log[key] for key in DALE_KEYS | {"train_losses", "lrs"})


def test_epochs_before_the_numbers_were_kept_count_as_nan() -> None:
    """A checkpoint without DALE's keys in its log is resumed, and the log stays complete."""
    stop_after(make_trainer(Printed, epochs=2), epochs=1)
    resumed = make_trainer(Printed, epochs=2, resume=True)
    file = Path(resumed.output_folder, "checkpoint_latest.pth")
    checkpoint = torch.load(file, weights_only=False)
    checkpoint["logging"] = {key: values for key, values in checkpoint["logging"].items() if key in NNUNET_KEYS}
    torch.save(checkpoint, file)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    log = train(resumed)
    assert {key: len(values) for key, values in log.items()} == dict.fromkeys(NNUNET_KEYS | DALE_KEYS | PHASE_KEYS, 2)
    assert all(np.isnan(log[key][0]) and np.isfinite(log[key][1]) for key in DALE_KEYS)


def test_no_checkpoint_where_they_are_switched_off() -> None:
    trainer = make_trainer(Printed)
    trainer.disable_checkpointing = True
    train(trainer)
    assert not list(Path(trainer.output_folder).glob("checkpoint*"))


def test_only_the_first_rank_touches_checkpoints(tmp_path: Path) -> None:
    """The others neither finish nor remove the file that rank 0 is writing."""
    trainer = make_trainer(Printed)
    trainer.local_rank = 1
    (tmp_path / "checkpoint_latest.pth.unfinished").write_text("half of it")
    trainer.save_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    assert {path.name: path.read_text() for path in tmp_path.glob("check*")} == {
        "checkpoint_latest.pth.unfinished": "half of it"
    }
