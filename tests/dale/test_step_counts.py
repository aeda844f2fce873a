"""What one iteration's cost comes from, counted without a clock: passes through the network, copies of the weights.

With F for a forward and 2F for a backward, plain nnU-Net's iteration is 3F; the ratios of
docs/evidence/performance.md are the sums counted here divided by that.
"""

from __future__ import annotations

import copy
import gc
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.label_confidence import LookAhead
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.dale.shadow_network import ShadowNetwork
from tests.dale.networks import SCALES, small_batch, small_unet, step_on

PLAIN_FORWARDS = 3  # F + 2F


class PassCounter:
    """Counts forwards of a network, and backwards that reach its first stage: what its head alone does is none."""

    def __init__(self, network: nn.Module | None) -> None:
        self.passes: Counter[str] = Counter()
        if network is not None:
            network.encoder.stages[0].register_forward_hook(self._forward)

    @property
    def forwards_and_backwards(self) -> tuple[int, int]:
        return self.passes["forward"], self.passes["backward"]

    def _forward(self, module: nn.Module, inputs: Any, outputs: Tensor) -> None:
        self.passes["forward"] += 1
        if outputs.requires_grad:
            outputs.register_hook(self._backward)

    def _backward(self, gradient: Tensor) -> None:
        self.passes["backward"] += 1


def step_with(dimensions: int = 2, **settings: Any) -> AlternatingStep:
    config = DaleConfig(patch_size=4, fuzzy_threshold=0.5, **settings)
    network = small_unet(dimensions)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.99, nesterov=True)
    return step_on(network, config, MaskedLoss(scale_weights=SCALES, batch_dice=dimensions == 2), optimizer)


def live_tensors() -> int:
    # by type: isinstance would ask lazy modules that the collector lists too, and these warn
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(
    ("settings", "network_passes", "shadow_passes", "placements", "ratio"),
    [
        ({"confidence_steps": 0, "alignment_weight": 0.0}, (2, 2), (0, 0), 0, 2.0),
        ({"confidence_steps": 0}, (2, 2), (0, 0), 0, 2.0),
        ({"confidence_gradient": "reuse"}, (2, 2), (1, 0), 1, 7 / 3),
        ({"confidence_gradient": "reuse", "confidence_steps": 3}, (2, 2), (1, 0), 1, 7 / 3),
        ({"confidence_gradient": "head"}, (2, 2), (0, 0), 0, 2.0),
        ({"confidence_gradient": "head", "alignment_weight": 0.0}, (2, 2), (0, 0), 0, 2.0),
        ({}, (2, 3), (2, 1), 2, 4.0),
        ({"fuzzy_graph": "recompute"}, (3, 3), (2, 1), 2, 13 / 3),
        ({"fuzzy_graph": "shifted"}, (3, 3), (1, 1), 1, 4.0),
        ({"confidence_steps": 2}, (2, 4), (4, 2), 4, 6.0),
        ({"confidence_steps": 2, "fuzzy_graph": "shifted"}, (3, 4), (3, 2), 3, 6.0),
        ({"confidence_steps": 2, "fuzzy_graph": "recompute"}, (3, 4), (4, 2), 4, 19 / 3),
    ],
    ids=str,
)
def test_passes_through_the_network_and_copies_of_its_weights(
    monkeypatch: pytest.MonkeyPatch,
    dimensions: int,
    settings: dict[str, Any],
    network_passes: tuple[int, int],
    shadow_passes: tuple[int, int],
    placements: int,
    ratio: float,
) -> None:
    step = step_with(dimensions, **settings)
    calls: Counter[str] = Counter()
    place = ShadowNetwork.place

    def counted_place(shadow: ShadowNetwork, *arguments: Any) -> None:
        calls["place"] += 1
        place(shadow, *arguments)

    def counted_deepcopy(*arguments: Any) -> Any:
        calls["deepcopy"] += 1
        return deepcopy(*arguments)

    deepcopy = copy.deepcopy
    monkeypatch.setattr(ShadowNetwork, "place", counted_place)
    monkeypatch.setattr(copy, "deepcopy", counted_deepcopy)
    network = PassCounter(step.module)
    copied = getattr(step.confidence, "shadow", None)
    shadow = PassCounter(None if copied is None else copied.module)

    step(*small_batch(dimensions))

    assert network.forwards_and_backwards == network_passes
    assert shadow.forwards_and_backwards == shadow_passes
    assert calls == Counter(place=placements)  # weights written in place so often, and no deep copy
    forwards, backwards = (sum(both) for both in zip(network_passes, shadow_passes, strict=True))
    assert (forwards + 2 * backwards) / PLAIN_FORWARDS == pytest.approx(ratio)
    assert step.config.plain_iterations == pytest.approx(ratio)


@pytest.mark.parametrize("steps", [1, 2])
def test_recomputing_the_fuzzy_graph_changes_no_update(steps: int) -> None:
    batch, weights = small_batch(2), []
    for choice in ("keep", "recompute"):
        torch.manual_seed(0)
        step = step_with(fuzzy_graph=choice, confidence_steps=steps)
        for _ in range(2):
            step(*batch)
        weights.append([weight.detach() for weight in step.module.parameters()])
    assert_close(weights[0], weights[1], rtol=0, atol=0)


@pytest.mark.parametrize(("choice", "shadow_forwards"), [("recompute", 2), ("shifted", 1)])
def test_a_fuzzy_graph_that_is_not_kept_is_never_held_beside_the_look_ahead(choice: str, shadow_forwards: int) -> None:
    """While the look-ahead runs, the outputs of the fuzzy forward cannot be run backward any more."""
    step = step_with(fuzzy_graph=choice)
    assert isinstance(step.confidence, LookAhead)
    kept: list[Tensor] = []
    step.module.register_forward_hook(lambda module, inputs, outputs: kept.append(outputs[0]))
    freed: list[bool] = []

    def check_freed(module: nn.Module, inputs: Any) -> None:
        with torch.enable_grad(), pytest.raises(RuntimeError, match="backward through the graph a second time"):
            kept[-1].sum().backward()
        freed.append(True)

    step.confidence.shadow.module.register_forward_pre_hook(check_freed)
    step(*small_batch(2))
    assert len(freed) == shadow_forwards


def test_the_shadow_keeps_its_storage() -> None:
    step = step_with()
    assert isinstance(step.confidence, LookAhead)
    before = [weight.data_ptr() for weight in step.confidence.shadow.weights]
    step(*small_batch(2))
    assert [weight.data_ptr() for weight in step.confidence.shadow.weights] == before
    assert [weight.data_ptr() for weight in step.confidence.shadow.module.parameters()] == before


MODES: list[dict[str, Any]] = [
    {"confidence_gradient": "look_ahead"},
    {"confidence_gradient": "reuse"},
    {"confidence_gradient": "head", "confidence_memory": 0.9},
    {"fuzzy_graph": "shifted", "confidence_memory": 0.9, "alignment_memory": 0.9, "intensity_bins": "near_labels"},
]


@pytest.mark.parametrize("settings", MODES, ids=str)
def test_no_tensor_outlives_its_iteration(settings: dict[str, Any]) -> None:
    step = step_with(**settings)
    batch = small_batch(2)
    alive = []
    for _ in range(4):
        step(*batch)
        gc.collect()
        alive.append(live_tensors())
    assert len(set(alive[1:])) < 3, alive  # the first iteration makes gradients and momenta


@pytest.mark.parametrize("settings", MODES, ids=str)
def test_graphs_are_freed_without_the_garbage_collector(settings: dict[str, Any]) -> None:
    """A reference cycle would keep a whole graph of activations until Python happens to collect it."""
    step = step_with(**settings)
    batch = small_batch(2)
    step(*batch)
    gc.collect()
    gc.disable()
    try:
        alive = [live_tensors() for _ in range(3) if step(*batch)]
        assert len(set(alive)) < 3, alive
    finally:
        gc.enable()
