"""What of DKNet is the trainer's: its optimizers, what an iteration costs, what it refuses, and that queries learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.method_iterations import PASSES
from benchmarks.plans_file import architecture
from nnunetv2_dale.dk_uxnet.query_maps import query_logits
from nnunetv2_dale.trainer.dknet import NetworkWithLevels, nnUNetTrainerDKNet
from tests.datasets import CASES, WITHOUT_LABELS
from tests.trainer.fixtures import TINY_TRAININGS, make_dknet, make_trainer, next_batch, started, weights_of

pytestmark = TINY_TRAININGS


@pytest.mark.parametrize("deep_supervision", [True, False])
@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_levels_and_outputs_are_those_of_the_network(configuration: str, deep_supervision: bool) -> None:
    trainer = make_dknet(configuration=configuration)
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
    trainer, plain = started(make_dknet()), started(make_trainer(nnUNetTrainerDKNet.__mro__[-2], "Unlabelled"))
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
    trainer = started(make_dknet())
    batch, passes = next_batch(trainer), []

    def count(_: nn.Module, __: Any, features: Tensor) -> None:
        passes.append(len(features))
        features.register_hook(lambda gradient: passes.append(2 * len(gradient)))

    trainer.network.encoder.stages[0].register_forward_hook(count)
    trainer.train_step(batch)
    cost = sum(passes) / (3 * len(batch["data"]))
    assert cost == PASSES["dknet"]
    assert cost <= 3


def test_unlabelled_cases_change_the_network_by_the_agreements_alone() -> None:
    def moved(weight: float) -> bool:
        torch.manual_seed(0)
        quarters = dict.fromkeys((f"agreement_{name}" for name in ("first", "second", "third", "last")), weight)
        trainer = started(make_dknet(settings=quarters))
        trainer.optimizer.param_groups[0]["weight_decay"] = 0.0
        batch = next_batch(trainer)
        batch["keys"] = sorted(WITHOUT_LABELS)
        before = weights_of(trainer)
        numbers = dict(zip(trainer.numbers, trainer.train_step(batch)["dknet"].tolist(), strict=True))
        assert all(np.isnan(numbers[name]) for name in ("convolution", "query", "groups", "layers"))
        return any(not torch.equal(value, before[name]) for name, value in weights_of(trainer).items())

    assert moved(1.0)
    assert not moved(0.0)


def test_the_log_says_how_many_cases_have_no_labels() -> None:
    trainer = started(make_dknet())
    assert "DKNet: 2 labelled training cases, 2 unlabelled" in Path(trainer.log_file).read_text()
    assert trainer.beside.bias.any()  # groups start at the shares of the classes


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

PLAIN_LABELS = {"labels": {"background": 0, "body": 1, "liver": 2, "vessel": 3, "lesion": 4}}
REGIONS = {"labels": {"background": 0, "body": [1, 2, 3, 4], "lesion": [4], "ignore": 5}, "regions_class_order": [1, 4]}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"labels": PLAIN_LABELS}, 'DKNet finds unlabelled cases by the ignore label, found no "ignore"'),
        ({"labels": REGIONS}, "DKNet needs labels that exclude each other, found regions"),
        ({"settings": {"width": 4}}, "unknown setting 'width' in \"dknet\""),
        ({"settings": {"query_count": 0}}, "query_count must be in 2 to 4096, got 0"),
    ],
)
def test_refused_before_anything_is_written(arguments: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises((RuntimeError, ValueError), match=sentence):
        make_dknet(**arguments)
    assert not list((tmp_path / "results").rglob("*.pth"))


@pytest.mark.parametrize(("kept", "found"), [(set(CASES) - WITHOUT_LABELS, "2 and 0"), (WITHOUT_LABELS, "0 and 2")])
def test_a_training_without_cases_of_both_kinds_is_refused(kept: set[str], found: str, monkeypatch) -> None:
    trainer = make_dknet()
    monkeypatch.setattr(trainer, "do_split", lambda: (sorted(kept - {CASES[0]}), [CASES[0]]))
    with pytest.raises(RuntimeError, match=f"DKNet needs labelled cases .* found {found} in the training set"):
        trainer.run_training()
    assert not Path(trainer.output_folder_base, "plans.json").exists()


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(RuntimeError, match="needs at least 2 samples on every GPU, found batch_size 1"):
        make_dknet(batch_size=1).initialize()


class WithoutStages(nnUNetTrainerDKNet):
    @staticmethod
    def build_network_architecture(  # nnU-Net's signature
        plans_manager: Any, configuration_manager: Any, num_input_channels: int, num_output_channels: int, deep: bool
    ) -> nn.Module:
        network = nn.Module()
        network.encoder, network.decoder = nn.Conv2d(1, 1, 1), nn.Identity()
        network.encoder.return_skips = network.decoder.deep_supervision = True  # type: ignore[assignment]
        return network


def test_a_network_without_levels_is_named_at_start() -> None:
    with pytest.raises(RuntimeError, match=r"WithoutStages needs a decoder of nnU-Net's U-Nets, .* found Identity"):
        make_dknet(WithoutStages).initialize()
