"""Distributed training: two processes with gloo on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainer.distributed import RANKS, run_ranks
from tests.trainer.distributed_training import Alternation, run_rank
from tests.trainer.fixtures import (
    DALE_KEYS,
    PHASE_KEYS,
    make_trainer,
    next_batch,
    started,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("nnunet")


def test_distributed_training(tmp_path: Path) -> None:
    """One test for one pair of processes, since starting them takes longer than the training."""
    single = started(make_trainer(Alternation))  # its plans say batch_dice, as all 2d plans
    assert single.configuration_manager.batch_dice
    batch, before = next_batch(single), weights_of(single)
    torch.save({"data": batch["data"], "target": batch["target"], "weights": before}, tmp_path / "batch.pth")
    run_ranks(run_rank, tmp_path)

    for training, epochs in (("trained", 2), ("shifted", 1)):
        ranks = (torch.load(tmp_path / f"{training}_{rank}.pth", weights_only=False) for rank in range(RANKS))
        equal_and_trained(next(ranks), next(ranks), epochs)
    same_kind_of_step(*(torch.load(tmp_path / f"phased_{rank}.pth", weights_only=False) for rank in range(RANKS)))
    checkpoints = [path.name for path in tmp_path.glob("results/**/checkpoint*")]
    assert sorted(checkpoints) == ["checkpoint_best.pth", "checkpoint_final.pth"]

    for _ in range(2):
        single.train_step(batch)
    for rank in range(RANKS):
        joined = torch.load(tmp_path / f"joined_{rank}.pth")
        equal_updates(before, weights_of(single), {name.removeprefix("module."): w for name, w in joined.items()})


def equal_and_trained(first: dict[str, Any], second: dict[str, Any], epochs: int) -> None:
    """All ranks have the same weights, bit by bit, and log the mean over the ranks."""
    assert all(torch.equal(weight, second["weights"][name]) for name, weight in first["weights"].items())
    dale = {key: values for key, values in first["log"].items() if key.startswith("dale_")}
    assert set(dale) == DALE_KEYS | PHASE_KEYS
    assert all(len(values) == epochs for values in dale.values())
    assert all(np.isfinite(dale[key]).all() for key in DALE_KEYS)
    assert all(values == second["log"][key] for key, values in dale.items())
    assert first["log"]["train_losses"] == second["log"]["train_losses"]


def same_kind_of_step(first: dict[str, Any], second: dict[str, Any]) -> None:
    """What the phases go by is of all ranks, though each has its own batches."""
    assert all(torch.equal(weight, second["weights"][name]) for name, weight in first["weights"].items())
    for key in DALE_KEYS | PHASE_KEYS:
        np.testing.assert_equal(first["log"][key], second["log"][key])
    assert first["log"]["dale_share"] == [1 / 3]
    assert first["log"]["dale_running"] == [1.0]
    # two whole batches of both ranks, a sample of 32 x 32 each; the first of them counts 0.9 times by now
    assert sum(first["log"]["dale_class_voxels"][0]) == pytest.approx(1.9 * RANKS * 32 * 32)


def equal_updates(before: dict[str, Tensor], single: dict[str, Tensor], distributed: dict[str, Tensor]) -> None:
    """Two ranks with a sample each make the updates of one process with both samples.

    The Dice is of the whole batch, over the ranks. nnU-Net weighs the lowest resolution by 1e-6 instead of 0 when
    training is distributed, so that the updates agree to that.
    """
    for name, start in before.items():
        torch.testing.assert_close(distributed[name] - start, single[name] - start, rtol=1e-3, atol=1e-5)
    assert any(not torch.equal(single[name], start) for name, start in before.items())
