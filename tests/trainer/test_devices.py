"""Mixed precision and compiled networks: the same updates, and what an overflow does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule

from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from tests.trainer.fixtures import (
    TINY_TRAININGS,
    check_log,
    log_of,
    make_trainer,
    next_batch,
    started,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS

# The second also moves the weights of the network in training, between its forward and its step.
GRAPHS = pytest.mark.parametrize("graph", ["keep", "shifted", "recompute"])


def settings_of(graph: str) -> dict[str, Any]:
    return {"dale": {"fuzzy_graph": graph}}


@GRAPHS
def test_an_overflow_skips_both_updates_and_leaves_the_confidence_at_1(graph: str) -> None:
    trainer = started(make_trainer(Printed, settings=settings_of(graph)))
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    before = weights_of(trainer)
    with overflow(trainer):
        outputs = [trainer.train_step(next_batch(trainer))]
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(trainer).items())
    assert trainer.grad_scaler.get_scale() == 2.0**8  # halved by each of the two updates
    trainer.on_train_epoch_end(outputs)
    log = log_of(trainer)
    assert (log["dale_non_finite"], log["dale_confidence_mean"], log["dale_confidence_std"]) == ([1.0], [1.0], [0.0])
    trainer.train_step(next_batch(trainer))
    assert not torch.equal(next(trainer.network.parameters()), next(iter(before.values())))


def test_iterations_with_non_finite_gradients_are_counted() -> None:
    """The count of an epoch, not its mean: two of three iterations."""
    trainer = started(make_trainer(Printed))
    trainer.grad_scaler = torch.amp.GradScaler("cpu")  # skips the updates, so that the weights stay finite
    seeds = iter(range(3))

    def step() -> dict[str, Any]:
        return trainer.train_step(next_batch(trainer, next(seeds)))

    outputs = [step()]
    with overflow(trainer):
        outputs += [step(), step()]
    trainer.on_train_epoch_end(outputs)
    assert log_of(trainer)["dale_non_finite"] == [2.0]


@contextmanager
def overflow(trainer: nnUNetTrainer) -> Iterator[None]:
    """Every gradient of the first layer is infinite, as half precision makes them when the loss scale is too large."""
    handle = next(trainer.network.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: mixed precision with GradScaler needs one")
@pytest.mark.parametrize("compiled", ["False", "True"])
@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
@GRAPHS
def test_trains_in_mixed_precision_on_cuda(graph: str, configuration: str, compiled: str, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_compile", compiled)
    trainer = make_trainer(
        Printed, configuration=configuration, settings=settings_of(graph), epochs=2, iterations=8, device="cuda"
    )
    check_log(train(trainer), epochs=2)
    assert isinstance(trainer.network, OptimizedModule) == (compiled == "True")
    assert trainer.grad_scaler is not None
    assert all(weight.isfinite().all() for weight in weights_of(trainer).values())
    saved = torch.load(Path(trainer.output_folder, "checkpoint_final.pth"), weights_only=False)
    assert saved["grad_scaler_state"]["scale"] == trainer.grad_scaler.get_scale() > 0


class Compiling(Printed):
    """Compiles on the CPU too, where nnU-Net does not."""

    def _do_i_compile(self) -> bool:
        return True


@GRAPHS
def test_a_compiled_network_takes_the_same_step(graph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile with AOT autograd and no code generation, which takes a minute on a CPU."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain = started(make_trainer(Printed, settings=settings_of(graph)))
    compiled = started(make_trainer(Compiling, settings=settings_of(graph)))
    assert isinstance(compiled.network, OptimizedModule)
    assert not isinstance(plain.network, OptimizedModule)
    compiled.network._orig_mod.load_state_dict(plain.network.state_dict())
    batch = next_batch(plain)
    for trainer in (plain, compiled):
        trainer.dale_step.algorithm.generator.manual_seed(0)
    expected, got = (trainer.train_step(batch)["dale"] for trainer in (plain, compiled))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    for weight, other in zip(compiled.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-6)
    for _ in range(2):  # now with the graphs of the first iteration in Dynamo's cache; rounding adds up
        expected, got = (trainer.train_step(batch)["dale"] for trainer in (plain, compiled))
        np.testing.assert_allclose(got, expected, rtol=0.02, atol=2e-3)
