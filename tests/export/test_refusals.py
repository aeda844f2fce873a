"""What `nnUNetv2_dale_export` refuses, in one sentence and before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.export.cli import main
from nnunetv2_dale.nnunet_files.stock_model import stock_trainer
from tests.export.fixtures import DATASET, STOCK, files, make_model

CHECKPOINT = "fold_0/checkpoint_final.pth"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "results")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command, which has to end with one sentence on stderr; returns the sentence."""
    assert main([str(argument) for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("nnUNetv2_dale_export: ")
    assert message.count("\n") == 1
    return message


def test_existing_output_is_refused_and_other_models_in_it_survive(model, tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    assert "already exists" in refused(capsys, "-i", model, "-o", output)
    trained = make_model(output, "nnUNetTrainer")
    before = files(trained)
    onto = ["-o", output, "--overwrite", "--name", "nnUNetPlans"]
    assert "is no export" in refused(capsys, "-i", model, *onto)
    assert "is no export" in refused(capsys, "-i", trained, *onto)
    assert files(trained) == before
    trained.rename(trained.with_name("nnUNetTrainer__other__2d"))
    for _ in range(2):
        assert main(["-i", str(model), "-o", str(output), "--overwrite"]) == 0
    assert {path.name for path in (output / DATASET).iterdir()} == {"nnUNetTrainer__other__2d", STOCK}


def test_zip_and_folder_are_not_mistaken_for_each_other(model, tmp_path, capsys):
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "file").touch()
    assert "should be a zip file" in refused(capsys, "-i", model, "-o", tmp_path / "folder.zip", "--overwrite")
    assert "should be a folder" in refused(capsys, "-i", model, "-o", tmp_path / "file", "--overwrite")


def test_a_file_in_place_of_a_folder_is_told_before_the_model_is_read(model, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(torch, "load", lambda *arguments, **flags: pytest.fail("read the model first"))
    for place in ("file/sub", "file/sub/model.zip"):
        assert "file is no folder, so" in refused(capsys, "-i", model, "-o", tmp_path / place)


def test_how_the_model_is_given_is_checked(model, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("nnUNet_results", raising=False)
    output = ["-o", tmp_path / "out"]
    assert "either as -i FOLDER or as -d" in refused(capsys, *output)
    assert "either as -i FOLDER or as -d" in refused(capsys, "-i", model, "-d", 997, *output)
    assert "-c 3d_fullres" in refused(capsys, "-d", 997, *output)
    assert "nnUNet_results is not set" in refused(capsys, "-d", 997, "-c", "2d", *output)
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    trainer = ["-tr", "nnUNetTrainerDALE"]
    assert "trainers there: nnUNetTrainerDALE" in refused(capsys, "-d", 997, "-c", "2d", *output)
    assert "dataset 996 was not found" in refused(capsys, "-d", 996, "-c", "2d", *trainer, *output)
    assert "no trained model at" in refused(capsys, "-d", 997, "-c", "3d_fullres", *trainer, *output)
    for name in ("a__b", "../up", "", "a b", "_a"):
        assert "--name has" in refused(capsys, "-i", model, "--name", name, *output)
    assert "plans.json cannot be read: there is no such file" in refused(capsys, "-i", model / "fold_0", *output)
    assert not (tmp_path / "out").exists()


def test_missing_folds_and_checkpoints_are_named(model, tmp_path, capsys):
    output = ["-o", tmp_path / "out"]
    message = refused(capsys, "-i", model, "-f", 0, 3, *output)
    assert "for fold 3" in message
    assert "folds there: 0;" in message
    message = refused(capsys, "-i", model, "-chk", "checkpoint_best.pth", *output)
    assert "no checkpoint_best.pth" in message
    assert "checkpoints there: checkpoint_final.pth" in message


def change_checkpoint(model: Path, **changes: object) -> None:
    torch.save(torch.load(model / CHECKPOINT, weights_only=False) | changes, model / CHECKPOINT)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda model: (model / CHECKPOINT).write_bytes(b"PK not"), "cannot be read as a checkpoint"),
        (lambda model: torch.save([1], model / CHECKPOINT), "is not a checkpoint of nnU-Net"),
        (lambda model: change_checkpoint(model, network_weights={"a": torch.ones(1)}), "do not fit the network"),
        (lambda model: change_checkpoint(model, trainer_name="nnUNetTrainerElsewhere"), "was not found here"),
        (lambda model: change_checkpoint(model, init_args={"configuration": "3d"}), "of configuration 3d, which"),
        (lambda model: (model / "plans.json").write_text("{"), "is not valid JSON"),
        (lambda model: (model / "plans.json").write_text("{}"), "is not a plans file"),
        (lambda model: (model / "dataset.json").unlink(), "dataset.json cannot be read: there is no such file"),
    ],
)
def test_damaged_models_are_refused_before_anything_is_written(model, tmp_path, capsys, damage, sentence):
    damage(model)
    assert sentence in refused(capsys, "-i", model, "-o", tmp_path / "out.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"results"}


def test_folds_of_different_trainings_are_refused(tmp_path, capsys):
    model = make_model(tmp_path / "results", folds=(0, 1))
    change_checkpoint(model, trainer_name="nnUNetTrainerDALE_maskedLoss")
    assert "not of one training" in refused(capsys, "-i", model, "-o", tmp_path / "out")


def test_a_trainer_with_a_network_of_its_own_is_refused(tmp_path, monkeypatch):
    (tmp_path / "trainer_with_a_network.py").write_text(
        "from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE\n"
        "class nnUNetTrainerOwnNetwork(nnUNetTrainerDALE):\n"
        "    @staticmethod\n"
        "    def build_network_architecture(*arguments): return None\n"
    )
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path))
    with pytest.raises(UserError, match="builds its network itself"):
        stock_trainer("nnUNetTrainerOwnNetwork")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device"), "No space left on device; nothing half-written"),
        (RuntimeError("[enforce fail] unexpected pos"), "could not be written"),
    ],
)
def test_an_export_that_cannot_be_written_leaves_nothing(model, tmp_path, monkeypatch, capsys, error, sentence):
    def full_disk(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(torch, "save", full_disk)
    for output in ("out", "out.zip"):
        assert main(["-i", str(model), "-o", str(tmp_path / output)]) == 2
        said = capsys.readouterr()
        assert sentence in said.err
        assert f"{DATASET}/{STOCK}" in said.out  # the name is told before anything is written
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
