"""Checkpoint files: replaced whole or not at all, and refused when they are damaged or of another training."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nnunetv2_dale.trainer.checkpoint_files import check_resumable, replaced_when_complete
from tests.dale.networks import small_unet
from tests.nnunet_files.fixtures import full_after

TRAINER = "nnUNetTrainerDALE"
LABELS = {"background": 0, "organ": 1, "lesion": [1, 2]}
INIT_ARGS = {
    "plans": {"dataset_name": "Dataset001_A"},
    "configuration": "2d",
    "fold": 0,
    "dataset_json": {"labels": LABELS},
}


def checkpoint_of(network: nn.Module, **changes: Any) -> dict[str, Any]:
    parts = {
        "network_weights": network.state_dict(),
        "optimizer_state": {},
        "grad_scaler_state": None,
        "logging": {},
        "_best_ema": None,
        "current_epoch": 3,
        "init_args": INIT_ARGS,
        "trainer_name": TRAINER,
    }
    return {**parts, **changes}


def stored(folder: Path, network: nn.Module, **changes: Any) -> Path:
    """The file of a checkpoint with that network's weights."""
    torch.save(checkpoint_of(network, **changes), folder / "checkpoint.pth")
    return folder / "checkpoint.pth"


def refusal(file: Path, network: nn.Module) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(RuntimeError, match="nothing was changed") as caught:
        check_resumable(str(file), TRAINER, INIT_ARGS, network)
    return str(caught.value)


# --- writing --------------------------------------------------------------------------------------------------------


def test_a_complete_file_replaces_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint with space.pth"
    file.write_text("old")
    with replaced_when_complete(str(file)) as unfinished:
        Path(unfinished).write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("write failed")])
@pytest.mark.parametrize(
    ("before", "told"), [("old", "the one written before is kept"), (None, "there is none before it")]
)
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, error: Exception, before: str | None, told: str) -> None:
    file = tmp_path / "checkpoint_latest.pth"
    if before is not None:
        file.write_text(before)
    with (
        pytest.raises(RuntimeError, match=f"could not write checkpoint .*{error}.*{told}".replace("[", r"\[")),
        replaced_when_complete(str(file)) as unfinished,
    ):
        _write_half(unfinished, error)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == ({file.name: before} if before else {})


def _write_half(unfinished: str, error: Exception) -> None:
    Path(unfinished).write_text("ha")
    raise error


def test_writing_nothing_changes_nothing_even_after_a_killed_write(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint_final.pth"
    file.write_text("old")
    (tmp_path / "checkpoint_final.pth.unfinished").write_text("ha")  # the training was killed here
    with replaced_when_complete(str(file)):
        pass
    assert file.read_text() == "old"


def test_a_disk_that_is_full_for_real(tmp_path: Path) -> None:
    """torch.save fails in the middle of the file, at the size the operating system allows this process."""
    file = tmp_path / "checkpoint_latest.pth"
    torch.save({"weights": torch.zeros(10)}, file)
    before = file.read_bytes()
    with full_after(50_000), pytest.raises(RuntimeError, match="the one written before is kept"):
        save_weights(file, 100_000)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    save_weights(file, 100_000)
    assert len(torch.load(file)["weights"]) == 100_000


def save_weights(file: Path, count: int) -> None:
    with replaced_when_complete(str(file)) as unfinished:
        torch.save({"weights": torch.ones(count)}, unfinished)


# --- reading --------------------------------------------------------------------------------------------------------


def test_its_own_checkpoint_is_resumed(tmp_path: Path) -> None:
    """Also with weights that were saved from a distributed network, and where a label has another name."""
    network = small_unet()
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    renamed = {**INIT_ARGS, "dataset_json": {"labels": {"background": 0, "liver": 1, "lesion": [1, 2]}}}
    for changes in ({}, {"network_weights": weights}, {"init_args": renamed}):
        check_resumable(str(stored(tmp_path, network, **changes)), TRAINER, INIT_ARGS, network)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trainer_name": "nnUNetTrainer"}, "trainer nnUNetTrainer, expected nnUNetTrainerDALE"),
        ({"init_args": {**INIT_ARGS, "configuration": "3d_fullres"}}, "configuration 3d_fullres, expected 2d"),
        ({"init_args": {**INIT_ARGS, "fold": 1}}, "fold 1, expected 0"),
        (
            {"init_args": {**INIT_ARGS, "plans": {"dataset_name": "Dataset002_B"}}},
            "dataset Dataset002_B, expected Dataset001_A",
        ),
    ],
    ids=["trainer", "configuration", "fold", "dataset"],
)
def test_another_trainings_checkpoint_is_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    network = small_unet()
    message = refusal(stored(tmp_path, network, **changes), network)
    assert named in message
    assert "-pretrained_weights" in message


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ({**LABELS, "stone": 3}, "'stone' (3) is gone"),  # the checkpoint's
        ({"background": 0, "organ": 1}, "'lesion' ([1, 2]) was added"),
        ({**LABELS, "lesion": [2]}, "'lesion' ([1, 2]) was added, 'lesion' ([2]) is gone"),
    ],
)
def test_a_checkpoint_of_other_labels_names_them(tmp_path: Path, labels: dict[str, Any], named: str) -> None:
    network = small_unet()
    message = refusal(stored(tmp_path, network, init_args={**INIT_ARGS, "dataset_json": {"labels": labels}}), network)
    assert f"was trained on other labels than dataset.json has now: {named}; nothing" in message


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    file = stored(tmp_path, small_unet(features=(4, 6, 8)))
    assert "does not fit the network of these plans" in refusal(file, small_unet(features=(4, 6, 10)))


def _truncated(raw: bytes, chance: random.Random) -> bytes:
    return raw[: chance.randrange(len(raw))]


def _overwritten(raw: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(raw) - 2000)
    return raw[:start] + bytes(2000) + raw[start + 2000 :]


def _flipped_weight(raw: bytes, chance: random.Random) -> bytes:
    """One bit of a weight: torch.load does not notice."""
    position = raw.index(b"MARK" * 4) + chance.randrange(16)
    return raw[:position] + bytes([raw[position] ^ 1 << chance.randrange(8)]) + raw[position + 1 :]


@pytest.mark.parametrize("damage", [_truncated, _overwritten, _flipped_weight])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: Callable[[bytes, random.Random], bytes]) -> None:
    network = small_unet()
    marked = {"weight": torch.frombuffer(bytearray(b"MARK" * 4), dtype=torch.float32)}
    file = stored(tmp_path, network, optimizer_state=marked)
    raw, chance = file.read_bytes(), random.Random(0)
    for _ in range(10):
        file.write_bytes(damage(raw, chance))
        assert "is damaged or no nnU-Net checkpoint" in refusal(file, network)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file, network = tmp_path / "other.pth", small_unet()
    for content in (b"", b"not a checkpoint", bytes(10_000)):
        file.write_bytes(content)
        assert "is damaged or no nnU-Net checkpoint" in refusal(file, network)
    for document in (torch.zeros(3), {"state_dict": {}}, [1, 2]):
        torch.save(document, file)
        assert "is damaged or no nnU-Net checkpoint" in refusal(file, network)
    incomplete = checkpoint_of(network)
    del incomplete["optimizer_state"]
    torch.save(incomplete, file)
    assert "no optimizer_state in it" in refusal(file, network)
