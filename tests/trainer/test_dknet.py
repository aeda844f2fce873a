"""What of DKNet is the trainer's: its optimizers, what an iteration costs, what it refuses, and that queries learn."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.method_iterations import PASSES
from benchmarks.plans_file import architecture
from nnunetv2_dale.dk_uxnet.query_maps import query_logits
from nnunetv2_dale.trainer.dknet import NetworkWithLevels, nnUNetTrainerDKNet
from tests.datasets import CASES, WITHOUT_LABELS
from tests.trainer.fixtures import TINY_TRAININGS, make_trainer, make_unlabelled, next_batch, started, with_network

pytestmark = TINY_TRAININGS
made = partial(make_unlabelled, nnUNetTrainerDKNet)


@pytest.mark.parametrize("deep_supervision", [True, False])
@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_levels_and_outputs_are_those_of_the_network(configuration: str, deep_supervision: bool) -> None:
    trainer = made(configuration=configuration)
    trainer.initialize()
    trainer.set_deep_supervision_enabled(deep_supervision)
    images = next_batch(started(trainer))["data"]
    trainer.set_deep_supervision_enabled(deep_supervision)
    seen: list[Tensor] = []
    for stage in trainer.network.decoder.stages:
        stage.register_forward_hook(lambda _, __, features: seen.insert(0, features))
    expected = trainer.network(images)
    features = list(seen)
    network = NetworkWithLevels(trainer.network, "this")
    levels, outputs = network(images)
    assert [level.shape[1] for level in levels] == network.channels
    for found, own in zip([*levels, *outputs], features + (expected if deep_supervision else [expected]), strict=True):
        assert torch.equal(found, own)


def test_the_network_keeps_nnunets_optimizer_and_the_queries_have_adamw() -> None:
    trainer, plain = started(made()), started(make_trainer(nnUNetTrainerDKNet.__mro__[-2], "Unlabelled"))
    trainer.train_step(next_batch(trainer))
    own, stock = trainer.optimizer.param_groups, plain.optimizer.param_groups
    assert isinstance(trainer.optimizer, torch.optim.SGD)
    assert [{**group, "params": None} for group in own] == [{**group, "params": None} for group in stock]
    assert {id(weight) for weight in own[0]["params"]} == {id(weight) for weight in trainer.network.parameters()}
    assert isinstance(trainer.adamw, torch.optim.AdamW)
    assert {id(weight) for weight in trainer.adamw.param_groups[0]["params"]} == {
        id(weight) for weight in trainer.beside.parameters()
    }
    assert trainer.adamw.param_groups[0]["lr"] == 1e-3


def test_an_iteration_costs_two_passes() -> None:
    """Counted in samples through the encoder, a backward as two forwards, over the three of plain nnU-Net."""
    trainer = started(made())
    batch, passes = next_batch(trainer), []

    def count(_: nn.Module, __: Any, features: Tensor) -> None:
        passes.append(len(features))
        features.register_hook(lambda gradient: passes.append(2 * len(gradient)))

    trainer.network.encoder.stages[0].register_forward_hook(count)
    trainer.train_step(batch)
    cost = sum(passes) / (3 * len(batch["data"]))
    assert cost == PASSES["dknet"]
    assert cost <= 3


def disc_batch(generator: torch.Generator, side: int, scales: int) -> dict[str, Any]:
    """A labelled and an unlabelled crop of a bright disc (label 1) and a dark one (label 2), in noise."""
    places = torch.cartesian_prod(*[torch.arange(side)] * 2).view(side, side, 2)
    labels = torch.zeros(2, 1, side, side)
    for crop in range(2):
        for label, x in ((1, 0.25), (2, 0.75)):
            centre = torch.tensor([0.5, x]) * side + 4 * torch.rand(2, generator=generator) - 2
            labels[crop, 0][(places - centre).square().sum(dim=2) < (side / 7) ** 2] = label
    images = 2.0 * (labels == 1) - 2.0 * (labels == 2) + 0.5 * torch.randn(labels.shape, generator=generator)
    targets = [labels[..., :: 2**scale, :: 2**scale] for scale in range(scales)]
    return {"data": images, "target": targets, "keys": [CASES[2], min(WITHOUT_LABELS)]}


def test_the_query_head_learns_at_the_trainers_own_rate() -> None:
    """128 queries of 256 channels, as many iterations as show it."""
    torch.manual_seed(0)
    network = architecture([16, 32, 64], [[1, 1], [2, 2], [2, 2]], [1, 1, 1], decoder_convolutions=1)
    settings = {"architecture": network, "patch_size": [32, 32]}
    trainer = make_trainer(nnUNetTrainerDKNet, "Unlabelled", settings=settings, epochs=1, iterations=40)
    trainer = started(trainer)
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        trainer.train_step(disc_batch(generator, 32, 2))
    batch = disc_batch(generator, 32, 2)
    with torch.no_grad():
        queries, _ = trainer.beside(trainer.see(batch["data"])[0])
    found, labels = query_logits(queries).argmax(dim=1, keepdim=True), batch["target"][0]
    for label in (1, 2):
        overlap = ((found == label) & (labels == label)).sum().item()
        assert 2 * overlap / ((found == label).sum() + (labels == label).sum()).item() > 0.5


# --- refused ----------------------------------------------------------------------------------------------------------


def without_stages() -> nn.Module:
    network = nn.Module()
    network.encoder, network.decoder = nn.Conv2d(1, 1, 1), nn.Identity()
    network.encoder.return_skips = network.decoder.deep_supervision = True  # type: ignore[assignment]
    return network


def test_a_network_without_levels_is_named_at_start() -> None:
    with pytest.raises(RuntimeError, match=r"WithoutStages needs a decoder of nnU-Net's U-Nets, .* found Identity"):
        make_unlabelled(with_network(nnUNetTrainerDKNet, "WithoutStages", without_stages)).initialize()
