"""Checkpoints that survive a full disk, and that are refused with a reason before a wrong one is resumed."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn


@contextmanager
def replaced_when_complete(filename: str) -> Iterator[str]:
    """A name to write a checkpoint under, beside `filename`, which it replaces when the block ends well.

    A write that fails leaves the file that was there. A block that writes nothing (checkpoints switched off, another
    rank) changes nothing.

    Raises:
        RuntimeError: the write failed, a full disk for instance.
    """
    unfinished = Path(filename + ".unfinished")
    try:
        yield str(unfinished)
        if unfinished.exists():
            unfinished.replace(filename)
    except (OSError, RuntimeError) as error:
        kept = "the one written before is kept" if Path(filename).exists() else "there is none before it"
        raise RuntimeError(f"could not write checkpoint {filename} ({error}); {kept}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def check_resumable(filename: str, trainer_name: str, network: nn.Module) -> None:
    """Raise a RuntimeError when a checkpoint cannot be what this training is to continue from.

    Args:
        trainer_name: the class that resumes.
        network: the plain module its weights have to fit.
    """
    try:
        checkpoint = torch.load(filename, map_location="cpu", weights_only=False)
        writer, weights = checkpoint["trainer_name"], checkpoint["network_weights"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise RuntimeError(
            f"{filename} is damaged or no nnU-Net checkpoint ({type(error).__name__}: {error}); nothing was changed: "
            f"remove it to resume from another checkpoint or to start again"
        ) from error
    if writer != trainer_name:
        raise RuntimeError(
            f"{filename} was written by {writer}, expected {trainer_name}; nothing was changed: to start from its "
            f"weights, use -pretrained_weights"
        )
    expected = {name: value.shape for name, value in network.state_dict().items()}
    found = {name.removeprefix("module."): value.shape for name, value in weights.items()}
    if expected != found:
        different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise RuntimeError(
            f"{filename} does not fit the network of these plans ({len(different)} weights differ, first "
            f"{different[0]}); nothing was changed: use the plans it was trained with"
        )
