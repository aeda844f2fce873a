"""Short trainings of nnU-Net trainers on tiny datasets, in process and in seconds."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import torch
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from numpy.typing import NDArray

from nnunetv2_dale.nnunet_files.confidence_table import TABLE
from nnunetv2_dale.nnunet_files.preprocessed_confidence import MADE_FROM, confidence_folder
from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.with_unlabelled import TrainsWithUnlabelled
from tests.datasets import CASES, DATASETS

# of DKNet and DK-UXNet, in the plans
TINY_DKNET = {"query_count": 10, "query_channels": 8, "attention_heads": 2, "feed_forward_channels": 8}
TINY_DK_UXNET = {**TINY_DKNET, "width": 4, "stages": 2, "blocks": 1}


def make_trainer(
    trainer_class: type[nnUNetTrainer],
    kind: str = "Labels",
    configuration: str = "2d",
    *,
    fold: int | str = 0,
    settings: dict[str, Any] | None = None,
    epochs: int | None = 1,
    iterations: int = 3,
    resume: bool = False,
    device: str = "cpu",
    labels: dict[str, Any] | None = None,
) -> nnUNetTrainer:
    """A trainer as `nnUNetv2_train` makes it, for a training of a few iterations.

    Args:
        kind: a key of `LABEL_KINDS`.
        settings: changes to the configuration's part of the plans.
        epochs: None leaves what the class sets.
        labels: what dataset.json has instead of its labels.
    """
    folder = Path(nnUNet_preprocessed) / DATASETS[kind]
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    plans["configurations"].get(configuration, {}).update(copy.deepcopy(settings or {}))
    plans["continue_training"] = resume
    dataset_json = {**json.loads((folder / "dataset.json").read_text()), **(labels or {})}
    trainer = trainer_class(plans, configuration, fold, dataset_json, torch.device(device))
    trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = iterations, 1
    if epochs is not None:
        trainer.num_epochs = epochs
    return trainer


def make_unlabelled(
    trainer_class: type[TrainsWithUnlabelled],
    configuration: str | None = None,
    settings: dict[str, Any] | None = None,
    plans: dict[str, Any] | None = None,
    iterations: int = 2,
    **others: Any,
) -> nnUNetTrainer:
    """See `make_trainer`: with few and small queries, on cases of which some have no labels.

    Args:
        configuration: None is 2d, or 3d_fullres for DK-UXNet, which has no other.
        settings: of the method, beside those that make it small.
        plans: further changes to the configuration.
    """
    own_network = issubclass(trainer_class, nnUNetTrainerDKUXNet)
    tiny = {trainer_class.settings_of[0]: {**(TINY_DK_UXNET if own_network else TINY_DKNET), **(settings or {})}}
    configuration = configuration or ("3d_fullres" if own_network else "2d")
    changes = {**tiny, **(plans or {})}
    return make_trainer(trainer_class, "Unlabelled", configuration, settings=changes, iterations=iterations, **others)


def with_network(
    kind: type[nnUNetTrainer], name: str, make: Callable[[], torch.nn.Module], **attributes: Any
) -> type[nnUNetTrainer]:
    """A trainer of that kind, and that name, with another network than that of the plans."""

    def build(  # nnU-Net's signature
        plans_manager: Any, configuration_manager: Any, num_input_channels: int, num_output_channels: int, deep: bool
    ) -> torch.nn.Module:
        return make()

    return type(name, (kind,), {"build_network_architecture": staticmethod(build), **attributes})


def empty_progress_picture(_: object, folder: str) -> None:
    """In place of what nnU-Net draws after every epoch, which takes longer than a tiny epoch."""
    Path(folder, "progress.png").touch()


def train(trainer: nnUNetTrainer) -> dict[str, list[Any]]:
    """Run a training to its end and return its log."""
    trainer.run_training()
    return log_of(trainer)


def log_of(trainer: nnUNetTrainer) -> dict[str, list[Any]]:
    log: dict[str, list[Any]] = trainer.logger.local_logger.my_fantastic_logging
    return log


def started(trainer: nnUNetTrainer) -> nnUNetTrainer:
    """The trainer in its first epoch, before the first batch."""
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    return trainer


def inputs_of(network: torch.nn.Module) -> list[torch.Tensor]:
    """A list that collects what the network is given from now on."""
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    return seen


def first_of_cascade(cascade: nnUNetTrainer, before: nnUNetTrainer | None = None) -> tuple[torch.Tensor, list[Any]]:
    """The images of its first batch, and what the network was given; `before` is trained for it first."""
    if before is not None:
        train(before)
        before.perform_actual_validation()
    started(cascade)
    batch, seen = next_batch(cascade), inputs_of(cascade.network)
    cascade.train_step(batch)
    return batch["data"], seen


def next_batch(trainer: nnUNetTrainer, seed: int = 0) -> dict[str, Any]:
    """A real batch, the same for the same seed."""
    np.random.seed(seed)
    torch.manual_seed(seed)
    batch: dict[str, Any] = next(trainer.dataloader_train)
    return batch


def weights_of(trainer: nnUNetTrainer) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.network.state_dict().items()}


TINY_TRAININGS = [
    pytest.mark.usefixtures("nnunet"),
    # nnU-Net: Dice of a class that one validation batch does not hold
    pytest.mark.filterwarnings("ignore:invalid value encountered in scalar divide:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning"),
]

NNUNET_KEYS = {
    *("mean_fg_dice", "ema_fg_dice", "dice_per_class_or_region", "train_losses", "val_losses", "lrs"),
    *("epoch_start_timestamps", "epoch_end_timestamps"),
}
DALE_KEYS = {
    *("dale_share", "dale_plain_iterations", "dale_non_fuzzy_loss", "dale_fuzzy_loss"),
    *("dale_alignment", "dale_alignment_share", "dale_confidence_mean", "dale_confidence_std"),
    *("dale_meta_mean", "dale_meta_std", "dale_case_mean", "dale_case_std"),
    *("dale_fuzzy_fraction", "dale_noisy_fraction", "dale_non_finite"),
}
# where the phases go on from
PHASE_KEYS = {"dale_running", "dale_class_probability", "dale_class_voxels", "dale_classes_learned"}


# Settings with which cases fall into groups after a few batches, whatever their labels are.
EAGER_TO_DOUBT = {"case_trust": {"start": 0.0, "after": 0, "tolerance": 0.0, "explained": 0.0, "fewest": 1}}


def check_log(log: dict[str, list[Any]], epochs: int) -> None:
    """One entry per epoch under every key, and DALE's numbers in their ranges, of the method as printed."""
    assert set(log) == NNUNET_KEYS | DALE_KEYS | PHASE_KEYS
    assert log["dale_share"] == [1.0] * epochs
    assert {key: len(values) for key, values in log.items()} == dict.fromkeys(log, epochs)
    assert all(np.isfinite(log[key]).all() for key in DALE_KEYS | {"train_losses", "val_losses"})
    for key in ("dale_fuzzy_fraction", "dale_noisy_fraction"):
        assert all(0 <= value <= 1 for value in log[key])
    assert all(value > 0 for value in log["dale_fuzzy_fraction"])
    assert all(abs(value - 1) <= 0.1 + 1e-6 for value in log["dale_confidence_mean"])
    expected = [(a + b) / 2 for a, b in zip(log["dale_non_fuzzy_loss"], log["dale_fuzzy_loss"], strict=True)]
    assert np.allclose(log["train_losses"], expected, rtol=1e-5)


class SeededEpochs:
    """A trainer that draws the same batches in the same epoch, so that trainings can be compared."""

    current_epoch: int

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()  # type: ignore[misc]
        np.random.seed(self.current_epoch)
        torch.manual_seed(self.current_epoch)


def stop_after(trainer: nnUNetTrainer, epochs: int) -> None:
    """Train until a checkpoint of so many epochs is written, then die."""
    trainer.save_every = 1
    end = trainer.on_epoch_end

    def die() -> None:
        end()
        if trainer.current_epoch == epochs:
            raise KeyboardInterrupt

    trainer.on_epoch_end = die
    with pytest.raises(KeyboardInterrupt):
        trainer.run_training()


def give_confidence(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    confidence_of: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    kind: str = "Labels",
    configuration: str = "2d",
) -> Path:
    """A copy of a tiny preprocessed dataset in `folder` that has what `nnUNetv2_dale_confidence preprocess` writes.

    Args:
        folder: where `nnUNet_preprocessed` is from here on.
        table: content of confidence.csv.
        confidence_of: a case's map, from its (C, Z, Y, X) preprocessed image; None: no maps.
    Returns:
        the folder of the confidence.
    """
    dataset = folder / DATASETS[kind]
    shutil.copytree(Path(nnUNet_preprocessed) / DATASETS[kind], dataset, symlinks=True)
    monkeypatch.setenv("nnUNet_preprocessed", str(folder))
    given = confidence_folder(dataset, f"nnUNetPlans_{configuration}")
    given.mkdir()
    (given / TABLE).write_text(table)
    (given / MADE_FROM).write_text('{"raw": {}}')  # the tiny raw dataset has nothing of it
    for case in CASES if confidence_of is not None else ():
        image = blosc2.open(str(dataset / f"nnUNetPlans_{configuration}" / f"{case}.b2nd"), mode="r")[:]
        assert confidence_of is not None
        blosc2.asarray(confidence_of(image).astype(np.float32), urlpath=str(given / f"{case}.b2nd"))
    return given


def leaves(tree: Any, place: str = "") -> dict[str, Any]:
    """Every value of nested dicts and lists by its place; tensors as arrays of their own."""
    if isinstance(tree, dict | list | tuple):
        parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {name: leaf for key, part in parts for name, leaf in leaves(part, f"{place}.{key}").items()}
    return {place: tree.detach().clone().numpy() if isinstance(tree, torch.Tensor) else tree}


def state_of(trainer: nnUNetTrainer) -> dict[str, Any]:
    """All that training changes: the network, and what the method keeps beside it."""
    return leaves({"network": weights_of(trainer), "own": trainer._added_to_checkpoint()})


def close(found: dict[str, Any], expected: dict[str, Any], rtol: float = 1e-3, atol: float = 1e-5) -> None:
    """The same numbers up to rounding."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(found[name], value, rtol=rtol, atol=atol, err_msg=name)
        else:
            assert found[name] == value, name


# case 0 is validated; the spleen is nowhere annotated in it, nor the liver in a training case
CONFIDENCE = f"""case,weight,liver,spleen,kidney,lesion
{CASES[0]},1,1,0,1,1
{CASES[1]},1,0,1,1,1
{CASES[2]},0.5,1,1,1,1
{CASES[3]},0,1,1,1,1
"""


def in_half(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """c = 0.25 in one half of a case."""
    confidence = np.ones_like(image[:1])
    confidence[..., : image.shape[-1] // 2] = 0.25
    return confidence


def doubted(batch: dict[str, Any], doubt: float) -> dict[str, Any]:
    """With the channel of doubt that the trainer's own loader adds."""
    images = batch["data"]
    return {**batch, "data": torch.cat([images, torch.full_like(images[:, :1], doubt)], dim=1)}
