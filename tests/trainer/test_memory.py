"""Nothing of an iteration outlives it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from tests.trainer.fixtures import TINY_TRAININGS, make_trainer, next_batch, started

pytestmark = TINY_TRAININGS


class Saved:
    """What an autograd graph keeps of a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize(
    "settings", [{}, {"every": 2, "learned": 1e-3, "fuzzy_graph": "shifted", "alignment_memory": 0.9}], ids=str
)
def test_nothing_grows_over_iterations(settings: dict[str, Any]) -> None:
    """No graph outlives its iteration, and the tensors alive between iterations do not grow from each ten to the next.

    Within ten of them others may come or go: what earlier tests of this process left is counted too.
    `tests/dale/test_step_counts.py` has the other settings, without nnU-Net.
    """
    trainer = started(make_trainer(Printed, settings={"dale": settings}, iterations=30))
    batch = next_batch(trainer)
    kept: weakref.WeakSet[Saved] = weakref.WeakSet()

    def pack(tensor: Tensor) -> Saved:
        saved = Saved(tensor.detach())  # not the tensor itself: the graph would hold itself
        kept.add(saved)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        alive = [live_tensors() for _ in range(3) if [trainer.train_step(batch) for _ in range(10)]]
    assert len(set(alive)) < len(alive), alive
    assert len(kept) == 0


def live_tensors() -> tuple[int, int]:
    """How many tensors with memory Python holds, and their bytes; an earlier test's compiler leaves some without."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    tensors = [tensor for tensor in tensors if not tensor._has_symbolic_sizes_strides]
    return len(tensors), sum(tensor.nbytes for tensor in tensors)
