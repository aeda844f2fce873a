"""Checkpoints that survive a full disk, and that are refused with a reason before a wrong one is resumed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nnunetv2_dale.commands.counted import counted

# what nnU-Net's trainer reads of a checkpoint
_PARTS = (
    "network_weights",
    "optimizer_state",
    "grad_scaler_state",
    "logging",
    "_best_ema",
    "current_epoch",
    "init_args",
    "trainer_name",
)


@contextmanager
def replaced_when_complete(filename: str) -> Iterator[str]:
    """Yield a name to write a checkpoint under, beside `filename`, which it replaces when the block ends well.

    A write that fails leaves the file that was there. A block that writes nothing (checkpoints switched off) changes
    nothing. One process may write a checkpoint, not several at once.

    Raises:
        RuntimeError: the write failed, a full disk for instance.
    """
    unfinished = Path(filename + ".unfinished")
    try:
        unfinished.unlink(missing_ok=True)  # of a training that was killed while it wrote
        yield str(unfinished)
        if unfinished.exists():
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())  # network file systems tell only now that there is no room
            unfinished.replace(filename)
    except (OSError, RuntimeError) as error:
        kept = "the one written before is kept" if Path(filename).exists() else "there is none before it"
        raise RuntimeError(f"could not write checkpoint {filename} ({error}); {kept}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def check_resumable(filename: str, trainer_name: str, init_args: Mapping[str, Any], network: nn.Module) -> None:
    """Raise a RuntimeError when a checkpoint cannot be what this training is to continue from.

    Args:
        trainer_name: the class that resumes.
        init_args: the arguments it was made with: the plans (for the dataset), the configuration, the fold and the
            labels count.
        network: the plain module its weights have to fit.
    """
    writer, found, labels = _read(filename)
    expected = _training(trainer_name, init_args)
    different = [
        f"{part} {writer[part]}, expected {expected[part]}" for part in expected if writer[part] != expected[part]
    ]
    if different:
        raise RuntimeError(
            f"{filename} was written by another training ({'; '.join(different)}); nothing was changed: to start from "
            f"its weights, use -pretrained_weights"
        )
    if changes := _changed_labels(labels, init_args["dataset_json"]["labels"]):
        raise RuntimeError(
            f"{filename} was trained on other labels than dataset.json has now: {', '.join(changes)}; nothing was "
            f"changed: give dataset.json the labels it had to go on, or start a new training"
        )
    needed = {name: value.shape for name, value in network.state_dict().items()}
    if needed != found:
        unfit = sorted(name for name in needed.keys() | found.keys() if needed.get(name) != found.get(name))
        differing = counted(len(unfit), "weight differs", "weights differ")
        raise RuntimeError(
            f"{filename} does not fit the network of these plans ({differing}, first {unfit[0]}); "
            f"nothing was changed: use the plans it was trained with"
        )


def _read(filename: str) -> tuple[dict[str, object], dict[str, torch.Size], Mapping[str, Any]]:
    """The training that wrote a checkpoint, the shapes of its weights, and the labels it was trained on."""
    try:
        with zipfile.ZipFile(filename) as archive:  # torch.load takes damaged weights as they are
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"wrong checksum of {damaged}")
        checkpoint = torch.load(filename, map_location="cpu", weights_only=False)
        missing = [part for part in _PARTS if part not in checkpoint]
        if missing:
            raise ValueError(f"no {', '.join(missing)} in it")
        writer = _training(checkpoint["trainer_name"], checkpoint["init_args"])
        shapes = {name.removeprefix("module."): value.shape for name, value in checkpoint["network_weights"].items()}
        labels = checkpoint["init_args"]["dataset_json"]["labels"]
    except Exception as error:  # unpickling a file that is something else can raise anything
        raise RuntimeError(
            f"{filename} is damaged or no nnU-Net checkpoint ({type(error).__name__}: {error}); nothing was changed: "
            f"remove it to resume from another checkpoint or to start again"
        ) from error
    return writer, shapes, labels


def _changed_labels(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Which labels came and went; another name for the same value is no change."""
    came = [f"{name!r} ({now[name]}) was added" for name in now if now[name] not in before.values()]
    return came + [f"{name!r} ({before[name]}) is gone" for name in before if before[name] not in now.values()]


def _training(trainer_name: str, init_args: Mapping[str, Any]) -> dict[str, object]:
    """What makes two trainings the same one."""
    return {
        "trainer": trainer_name,
        "dataset": init_args["plans"]["dataset_name"],
        "configuration": init_args["configuration"],
        "fold": init_args["fold"],
    }
