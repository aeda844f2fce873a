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
    started,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS


@EVERY_FAMILY
def test_a_resumed_training_equals_an_uninterrupted_one(trainer_class, tmp_path, monkeypatch) -> None:
    """In all that the checkpoint holds and in the memory of the cases; most trainers change phase.

    Finished, it stays as it is with `--c` once more, and can be made longer (nnU-Net #1422, #1848). Where its log is of
    a time before the method's numbers were kept, they count as NaN, and the log stays complete.
    """
    whole, resumed = whole_and_resumed(trainer_class, tmp_path, monkeypatch)
    if trainer_class is variants.nnUNetTrainerDALE_asPrinted:
        check_log(log_of(resumed), epochs=3)
    files = [Path(trainer.output_folder, FILE) for trainer in (whole, resumed)]
    mine, theirs = (file.exists() and file.read_text() for file in files)
    assert mine == theirs

    file = Path(resumed.output_folder, "checkpoint_final.pth")
    checkpoint = torch.load(file, weights_only=False)
    checkpoint["logging"] = {key: values for key, values in checkpoint["logging"].items() if key in NNUNET_KEYS}
    torch.save(checkpoint, file)
    for epochs in (3, 4):
        again = make(type(resumed), epochs=epochs, iterations=4, resume=True)
        maybe_load_checkpoint(again, continue_training=True, validation_only=False)
        assert again.current_epoch == 3
        log = train(again)
        lengths = dict.fromkeys(NNUNET_KEYS | set(again.log_keys), epochs)
        assert {key: len(values) for key, values in log.items()} == lengths
    assert all(np.isnan(log[key][:3]).all() for key in again.log_keys)
    assert {key for key in again.log_keys if key not in PHASE_KEYS and not np.isfinite(log[key][3])} <= NO_GROUPS


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
    trainer = started(make(trainer_class))
    trainer.disable_checkpointing = True
    trainer.on_train_end()
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
def test_exports_its_network_or_says_why_not(trainer_class: type[SafeTraining], tmp_path: Path, capsys) -> None:
    """Only the network is in it, in plain types, and its weights are those of the training."""
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
