"""Distributed training: two processes with gloo on the CPU, started once for all trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.datasets import CASES
from tests.trainer.distributed import GIVEN, JOINED, RANKS, TRAINED, UNEQUAL, everything_of, run_ranks, validated
from tests.trainer.fixtures import CONFIDENCE, PHASE_KEYS, give_confidence, in_half, make_trainer, next_batch, started

Weights = dict[str, Tensor]


@pytest.mark.usefixtures("nnunet")
def test_ranks_stay_equal_and_make_the_updates_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks have the same weights and numbers, bit by bit; with half of a batch each, the steps of all of it."""
    single = {name: made_by_one_process(name, tmp_path, monkeypatch) for name in JOINED}
    run_ranks(tmp_path)
    for name in (*TRAINED, *UNEQUAL):
        first, second = (torch.load(tmp_path / f"{name}_{rank}.pth", weights_only=False) for rank in range(RANKS))
        assert all(torch.equal(weight, second["weights"][key]) for key, weight in first["weights"].items()), name
        assert all(weight.isfinite().all() for weight in first["weights"].values()), name
        if name in TRAINED:
            equal_numbers(name, first["log"], second["log"])
    checkpoints = [path.name for path in tmp_path.glob("results/**/checkpoint*")]
    assert sorted(checkpoints) == ["checkpoint_best.pth", "checkpoint_final.pth"]
    for name, (before, after, losses) in single.items():
        for rank in range(RANKS):
            joined = torch.load(tmp_path / f"{name}_joined_{rank}.pth", weights_only=False)
            for key, start in before.items():
                # nnU-Net weighs the lowest resolution by 1e-6 instead of 0 when training is distributed
                step, expected = joined["weights"][key] - start, after[key] - start
                torch.testing.assert_close(step, expected, rtol=1e-3, atol=1e-5, msg=f"{name} {key}")
            if losses:
                assert joined["validated"] == pytest.approx(losses[rank], rel=1e-3)
        assert any(not torch.equal(after[key], start) for key, start in before.items())


def made_by_one_process(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Weights, Weights, list[Any]]:
    """Weights before and after two steps on a whole batch, which goes into `folder` for the ranks.

    With confidence also the validation's loss of what each rank validates.
    """
    kind, arguments = JOINED[name]
    with monkeypatch.context() as given:
        if name == "confidence":
            give_confidence(folder / GIVEN, given, CONFIDENCE, in_half)
        trainer = started(make_trainer(kind, **arguments))
    assert trainer.configuration_manager.batch_dice  # as all 2d plans
    batch, before = {**next_batch(trainer), "keys": [CASES[1], CASES[2]]}, everything_of(trainer)
    stored = {key: batch[key] for key in ("data", "target", "keys")}
    torch.save({**stored, "weights": before}, folder / f"{name}_batch.pth")
    for _ in range(2):
        trainer.train_step(batch)
    losses = [validated(trainer, stored, rank) for rank in range(RANKS)] if name == "confidence" else []
    return before, everything_of(trainer), losses


def equal_numbers(name: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    """What is logged, and what the phases go by, is of all ranks, though each has its own batches."""
    keys = TRAINED[name][0].log_keys
    for key in ("train_losses", "dice_per_class_or_region", *keys):
        np.testing.assert_equal(first[key], second[key])
        assert len(first[key]) == TRAINED[name][1].get("epochs", 1)
    if name != "phases":
        assert all(np.isfinite(first[key]).all() for key in keys if key not in PHASE_KEYS)
    if name == "confidence":
        assert np.isnan(first["dice_per_class_or_region"][0][1])  # nowhere annotated
    if name == "phases":
        assert (first["dale_share"], first["dale_running"]) == ([1 / 3], [1.0])
        # two whole batches of both ranks, a sample of 32 x 32 each; the first of them counts 0.9 times by now
        assert sum(first["dale_class_voxels"][0]) == pytest.approx(1.9 * RANKS * 32 * 32)
