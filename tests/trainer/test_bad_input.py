"""What can go wrong in a training: one sentence that says what to do, and nothing lost; or it trains on, finite."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from torch import Tensor, nn

from nnunetv2_dale.trainer.config import AS_PRINTED
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from tests.trainer.fixtures import TINY_TRAININGS, make_trainer, next_batch, started, train, weights_of, with_network

pytestmark = TINY_TRAININGS


# --- batches ----------------------------------------------------------------------------------------------------------


def filled(targets: Tensor | list[Tensor], value: Callable[[Tensor], Tensor]) -> Tensor | list[Tensor]:
    return [value(target) for target in targets] if isinstance(targets, list) else value(targets)


def everywhere(label: int) -> Callable[[Tensor], Tensor]:
    """A label map of one value, or regions of which the channel `label` (-1: the ignore channel) is all that is on."""

    def fill(target: Tensor) -> Tensor:
        if target.shape[1] == 1:
            return torch.full_like(target, label)
        empty = torch.zeros_like(target)
        empty[:, label] = True
        return empty

    return fill


BATCHES = {
    "Labels": [torch.zeros_like, everywhere(2)],
    "Regions": [torch.zeros_like, everywhere(0), torch.ones_like],
    "Ignore": [torch.zeros_like, everywhere(5)],
    "RegionsIgnore": [torch.zeros_like, everywhere(-1)],
}


class EdgesOnly(Printed):
    """Edges alone are a constant map here: nothing is fuzzy."""

    dale = replace(AS_PRINTED, fuzziness_source="edges")


class NoAlignment(Printed):
    dale = replace(AS_PRINTED, alignment_weight=0.0)


class AllAdaptations(nnUNetTrainerDALE):
    """Of the method as adapted every batch that it leaves for Algorithm 1, from the first on."""

    dale = replace(nnUNetTrainerDALE.dale, phase_in=0.0, phase_out=0.0, learned=0.0)


@pytest.mark.parametrize("trainer_class", [Printed, EdgesOnly, AllAdaptations])
@pytest.mark.parametrize("kind", BATCHES)
def test_poor_batches_train_on(kind: str, trainer_class: type[nnUNetTrainerDALE]) -> None:
    """Finite numbers and weights, before and after real batches; each starts with the first weights."""
    trainer = started(make_trainer(trainer_class, kind, iterations=6))
    first = weights_of(trainer)
    for value in BATCHES[kind]:
        trainer.network.load_state_dict(first)
        trainer.on_train_epoch_start()
        outputs = []
        for seed in range(3):
            real, poor = next_batch(trainer, seed), next_batch(trainer, seed)
            poor["target"] = filled(poor["target"], value)
            outputs += [trainer.train_step(batch) for batch in (poor, real)]
        of_algorithm_1 = outputs[:: trainer.dale.every]  # whole batches have a loss alone
        assert all(torch.as_tensor(output["dale"]).isfinite().all() for output in of_algorithm_1)
        assert np.isfinite([output["loss"] for output in outputs]).all()
        assert all(weight.isfinite().all() for weight in weights_of(trainer).values())


def test_a_batch_of_nothing_but_ignored_voxels_teaches_nothing() -> None:
    """No gradient but that of weight decay, which nnU-Net applies to every weight that took part."""
    trainer = started(make_trainer(NoAlignment, "Ignore"))
    trainer.optimizer.param_groups[0]["weight_decay"] = 0
    before, batch = weights_of(trainer), next_batch(trainer)
    batch["target"] = filled(batch["target"], everywhere(5))
    trainer.train_step(batch)
    for name, weight in weights_of(trainer).items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=1e-6)


# --- what is checked at the start -------------------------------------------------------------------------------------


class HeadlessDecoder(nn.Module):
    """A segmentation network whose head is not where nnU-Net's is."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Module()
        self.decoder.final = nn.Conv2d(1, 5, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        logits = self.decoder.final(images)
        return [logits, logits[:, :, ::2, ::2]]


def test_a_network_without_a_head_is_named_at_start() -> None:
    trainer = make_trainer(with_network(Printed, "Headless", HeadlessDecoder))
    with pytest.raises(
        Exception, match=r"as decoder\.seg_layers\[-1\] in HeadlessDecoder, which has none; name the head, or set"
    ):
        trainer.initialize()


def test_a_network_without_a_head_trains_without_alignment() -> None:
    kind = with_network(Printed, "WithoutAlignment", HeadlessDecoder, dale=NoAlignment.dale)
    trainer = started(make_trainer(kind))
    assert torch.as_tensor(trainer.train_step(next_batch(trainer))["dale"]).isfinite().all()


def test_a_configuration_that_does_not_exist_lists_those_that_do() -> None:
    told = r"configuration '3d_midres' is not in the plans 'nnUNetPlans', which have 2d, 3d_fullres, 3d_lowres, 3d_c"
    with pytest.raises(RuntimeError, match=told):
        make_trainer(Printed, configuration="3d_midres")


@pytest.mark.parametrize("empty", [False, True], ids=["no folder", "empty folder"])
def test_a_dataset_not_preprocessed_says_how_to(empty: bool) -> None:
    trainer = make_trainer(Printed, "Regions", "3d_fullres")
    folder = Path(trainer.preprocessed_dataset_folder)
    if empty:
        folder.mkdir()
    command = "nnUNetv2_preprocess -d Dataset902_Regions -plans_name nnUNetPlans -c 3d_fullres"
    try:
        with pytest.raises(RuntimeError, match=f"found none; run {command}"):
            trainer.run_training()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_cascade_without_its_first_stage_says_so_before_it_trains() -> None:
    cascade = make_trainer(Printed, configuration="3d_cascade_fullres")
    predicted = Path(cascade.folder_with_segs_from_previous_stage)
    with pytest.raises(RuntimeError, match=r"no prediction of 3d_lowres in .* for 5 of the cases, first phantom_000; "):
        cascade.run_training()
    predicted.mkdir(parents=True)
    for case in (0, 1, 2, 4):
        (predicted / f"phantom_00{case}.b2nd").touch()
    with pytest.raises(RuntimeError, match=r"no prediction of 3d_lowres in .* for 1 of the cases, first phantom_003; "):
        make_trainer(Printed, configuration="3d_cascade_fullres").run_training()


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_the_checkpoint_before_which_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(Printed, epochs=3)
    trainer.save_every = 1
    save, written = torch.save, []

    def save_until_full(checkpoint: dict[str, Any], file: str) -> None:
        save(checkpoint, file)
        written.append(file)
        if "checkpoint_latest" in file and sum("checkpoint_latest" in name for name in written) == 2:
            raw = Path(file).read_bytes()
            Path(file).write_bytes(raw[: len(raw) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    told = "could not write checkpoint .*checkpoint_latest.pth .*No space left.*; the one written before is kept"
    with monkeypatch.context() as full_disk:
        full_disk.setattr(torch, "save", save_until_full)
        with pytest.raises(RuntimeError, match=told):
            trainer.run_training()
    resumed = make_trainer(Printed, epochs=3, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    assert resumed.current_epoch == 1
    log = train(resumed)
    assert {len(values) for values in log.values()} == {3}
