"""The contract of every trainer, for what it leaves in files: resumed, refused, exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.export.cli import main as export
from nnunetv2_dale.nnunet_files.displacement_file import FILE
from nnunetv2_dale.nnunet_files.stock_model import stock_trainer
from nnunetv2_dale.trainer import variants
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.safe_training import SafeTraining
from tests.trainer.every_method import EVERY_FAMILY, EVERY_TRAINER, NO_GROUPS, make, whole_and_resumed
from tests.trainer.fixtures import (
    NNUNET_KEYS,
    PHASE_KEYS,
    TINY_TRAININGS,
    check_log,
    close,
    leaves,
    log_of,
    stop_after,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS


@EVERY_FAMILY
def test_a_resumed_training_equals_an_uninterrupted_one(trainer_class, tmp_path, monkeypatch) -> None:
    """In all that the checkpoint holds and in the memory of the cases; most trainers change phase."""
    whole, resumed = whole_and_resumed(trainer_class, tmp_path, monkeypatch)
    if trainer_class is variants.nnUNetTrainerDALE_asPrinted:
        check_log(log_of(resumed), epochs=3)
    files = [Path(trainer.output_folder, FILE) for trainer in (whole, resumed)]
    mine, theirs = (file.exists() and file.read_text() for file in files)
    assert mine == theirs


@pytest.mark.parametrize("trainer_class", [nnUNetTrainerCaseTrust, nnUNetTrainerDALE])
def test_a_finished_training_stays_as_it_is_and_can_be_made_longer(trainer_class: type[SafeTraining]) -> None:
    """nnU-Net #1422, #1848: `--c` once more, and with more epochs than the training had."""
    train(make(trainer_class, epochs=1))
    for epochs in (1, 2):
        resumed = make(trainer_class, epochs=epochs, resume=True)
        maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
        assert resumed.current_epoch == 1
        assert {len(values) for values in train(resumed).values()} == {epochs}


@EVERY_FAMILY
def test_epochs_before_the_numbers_were_kept_count_as_nan(trainer_class: type[SafeTraining]) -> None:
    """A checkpoint without the method's keys in its log is resumed, and the log stays complete."""
    stop_after(make(trainer_class, epochs=2), epochs=1)
    resumed = make(trainer_class, epochs=2, resume=True)
    file = Path(resumed.output_folder, "checkpoint_latest.pth")
    checkpoint = torch.load(file, weights_only=False)
    checkpoint["logging"] = {key: values for key, values in checkpoint["logging"].items() if key in NNUNET_KEYS}
    torch.save(checkpoint, file)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    log = train(resumed)
    assert {key: len(values) for key, values in log.items()} == dict.fromkeys(NNUNET_KEYS | set(resumed.log_keys), 2)
    assert all(np.isnan(log[key][0]) for key in resumed.log_keys)
    assert {key for key in resumed.log_keys if key not in PHASE_KEYS and not np.isfinite(log[key][1])} <= NO_GROUPS


@EVERY_TRAINER
def test_the_checkpoint_of_another_trainer_is_refused(trainer_class: type[SafeTraining]) -> None:
    """In one sentence, with the file as it was; its own is taken."""
    trainer = make(trainer_class)
    trainer.initialize()
    file = Path(trainer.output_folder, "checkpoint_final.pth")
    trainer.save_checkpoint(str(file))
    mine = make(trainer_class, resume=True)
    maybe_load_checkpoint(mine, continue_training=True, validation_only=False)
    torch.save({**torch.load(file, weights_only=False), "trainer_name": "nnUNetTrainerOther"}, file)
    before = file.read_bytes()
    refused = rf"trainer nnUNetTrainerOther, expected {trainer_class.__name__}\); nothing was changed"
    with pytest.raises(RuntimeError, match=refused):
        maybe_load_checkpoint(make(trainer_class, resume=True), continue_training=True, validation_only=False)
    assert file.read_bytes() == before


@EVERY_FAMILY
def test_no_checkpoint_where_they_are_switched_off(trainer_class: type[SafeTraining]) -> None:
    trainer = make(trainer_class)
    trainer.disable_checkpointing = True
    train(trainer)
    assert not [*Path(trainer.output_folder).glob("checkpoint*"), *Path(trainer.output_folder).glob(FILE)]


@EVERY_FAMILY
def test_only_the_first_rank_touches_checkpoints(trainer_class: type[SafeTraining], tmp_path: Path) -> None:
    """The others neither finish nor remove the file that rank 0 is writing."""
    trainer = make(trainer_class)
    trainer.local_rank = 1
    (tmp_path / "checkpoint_latest.pth.unfinished").write_text("half of it")
    trainer.save_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    assert {path.name: path.read_text() for path in tmp_path.glob("check*")} == {
        "checkpoint_latest.pth.unfinished": "half of it"
    }


@EVERY_FAMILY
def test_exports_the_trained_network_or_says_why_not(trainer_class: type[SafeTraining], tmp_path: Path, capsys) -> None:
    """Only the network is in it, in plain types, and its weights are the trained ones."""
    trainer = make(trainer_class)
    train(trainer)
    code = export(["-i", trainer.output_folder_base, "-o", str(tmp_path / "export"), "-f", "0"])
    if isinstance(reason := stock_or_reason(trainer_class.__name__), str):
        assert code == 2
        assert reason in capsys.readouterr().err
        assert "install nnunetv2-dale" in reason
        assert not (tmp_path / "export").exists()
        return
    assert code == 0
    (exported,) = (tmp_path / "export").rglob("checkpoint_final.pth")
    checkpoint = torch.load(exported, weights_only=True)
    assert not set(checkpoint) & set(trainer._added_to_checkpoint())
    close(leaves(checkpoint["network_weights"]), leaves(weights_of(trainer)))


def stock_or_reason(name: str) -> type[nnUNetTrainer] | str:
    """The trainer of nnU-Net that loads the exported model; or the sentence that says why there is none."""
    try:
        return stock_trainer(name)
    except UserError as error:
        return str(error)
