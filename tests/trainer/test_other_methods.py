"""The trainers beside DALE's: each trains whatever nnU-Net trains, resumes, and refuses what is not its own."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule

from nnunetv2_dale.nnunet_files.stock_model import stock_trainer
from nnunetv2_dale.trainer.abstaining_dice import nnUNetTrainerADS
from nnunetv2_dale.trainer.co_training import nnUNetTrainerBECO
from nnunetv2_dale.trainer.meta_weight_net import nnUNetTrainerMWNet
from nnunetv2_dale.trainer.modules_beside import TrainsBeside
from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL
from tests.tiny_plans import architecture, tiny_plans
from tests.trainer.fixtures import (
    NNUNET_KEYS,
    TINY_TRAININGS,
    SeededEpochs,
    make_trainer,
    next_batch,
    nnunet,  # noqa: F401 -- a fixture
    started,
    stop_after,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS

METHODS: list[type[TrainsBeside]] = [nnUNetTrainerSVLDRL, nnUNetTrainerMWNet, nnUNetTrainerBECO, nnUNetTrainerADS]
EVERY_METHOD = pytest.mark.parametrize("trainer_class", METHODS, ids=lambda method: method.method)
# two epochs, all of a method at work in the second
AT_WORK: dict[str, dict[str, Any]] = {
    "svl_drl": {"warm_up_share": 0.5, "transition_share": 0.0, "full_share": 0.5},
    "mwnet": {"patch_size": 8},
    "beco": {"patch_size": 8, "warm_up_share": 0.5},
    "ads": {"warm_up_share": 0.5},
}


def settings_of(trainer_class: type[TrainsBeside]) -> dict[str, Any]:
    return {trainer_class.key: dict(AT_WORK[trainer_class.key])}


def own_state(trainer: TrainsBeside) -> dict[str, torch.Tensor]:
    """All tensors of a method's own part of a checkpoint, by their place in it."""
    found: dict[str, torch.Tensor] = {}

    def walk(place: str, part: Any) -> None:
        if isinstance(part, torch.Tensor):
            found[place] = part.detach().clone()
        elif isinstance(part, dict):
            for name, inner in part.items():
                walk(f"{place}.{name}", inner)

    walk("", trainer._own_state())
    return found


@EVERY_METHOD
@pytest.mark.parametrize(
    ("kind", "configuration"),
    [
        pytest.param("Labels", "2d", id="2d"),
        pytest.param("Labels", "3d_fullres", id="3d_fullres"),
        pytest.param("Regions", "2d", id="regions"),
        pytest.param("Ignore", "2d", id="ignore"),
        pytest.param("RegionsIgnore", "2d", id="regions-and-ignore"),
    ],
)
def test_trains(trainer_class: type[TrainsBeside], kind: str, configuration: str) -> None:
    settings = settings_of(trainer_class)
    trainer = make_trainer(trainer_class, kind, configuration, settings=settings, epochs=2, iterations=2)
    trainer.initialize()
    before, own_before = weights_of(trainer), own_state(trainer)

    log = train(trainer)

    own_keys = {f"{trainer_class.key}_{name}" for name in trainer_class.numbers}
    assert {key: len(values) for key, values in log.items()} == dict.fromkeys(NNUNET_KEYS | own_keys, 2)
    assert all(np.isfinite(log[key][1]) for key in own_keys | {"train_losses", "val_losses"})
    unused = "decoder.seg_layers.0."  # nnU-Net gives the lowest resolution no weight in the loss
    unmoved = [name for name, weight in weights_of(trainer).items() if torch.equal(weight, before[name])]
    assert all(unused in name for name in unmoved)
    own_now = own_state(trainer)
    assert any(not torch.equal(own_now[name], value) for name, value in own_before.items())
    everything = {**weights_of(trainer), **own_now}
    assert all(value.isfinite().all() for value in everything.values())
    lines = Path(trainer.log_file).read_text().splitlines()
    own = f"{trainer_class.method} {{"
    told = [json.loads("{" + line.split(own, 1)[1]) for line in lines if own in line]
    assert [set(numbers) for numbers in told] == [set(trainer_class.numbers)] * 2


@EVERY_METHOD
def test_a_resumed_training_equals_an_uninterrupted_one(
    trainer_class: type[TrainsBeside], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: type[nnUNetTrainer] = type("Seeded", (SeededEpochs, trainer_class), {})
    settings = settings_of(trainer_class)
    torch.manual_seed(0)
    whole = make_trainer(kind, settings=settings, epochs=3)
    whole_log = train(whole)

    monkeypatch.setenv("nnUNet_results", str(tmp_path / "interrupted"))
    torch.manual_seed(0)
    stop_after(make_trainer(kind, settings=settings, epochs=3), epochs=1)
    resumed = make_trainer(kind, settings=settings, epochs=3, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    assert resumed.current_epoch == 1
    log = train(resumed)

    assert all(torch.equal(weight, weights_of(whole)[name]) for name, weight in weights_of(resumed).items())
    assert all(torch.equal(value, own_state(whole)[name]) for name, value in own_state(resumed).items())
    for name in trainer_class.numbers:
        key = f"{trainer_class.key}_{name}"
        np.testing.assert_array_equal(log[key], whole_log[key])


@EVERY_METHOD
def test_the_checkpoint_of_another_trainer_is_refused_in_one_sentence(trainer_class: type[TrainsBeside]) -> None:
    plain = make_trainer(nnUNetTrainer)
    started(plain).on_train_end()
    mine = make_trainer(trainer_class, resume=True)
    file = Path(mine.output_folder, "checkpoint_final.pth")
    file.write_bytes(Path(plain.output_folder, "checkpoint_final.pth").read_bytes())
    before = file.read_bytes()
    told = rf"trainer nnUNetTrainer, expected {trainer_class.__name__}\); nothing was changed"
    with pytest.raises(RuntimeError, match=told):
        maybe_load_checkpoint(mine, continue_training=True, validation_only=False)
    assert file.read_bytes() == before


@EVERY_METHOD
def test_gradient_scaling_changes_nothing(trainer_class: type[TrainsBeside]) -> None:
    """GradScaler multiplies by a power of 2 and divides again: on the CPU in float32 every update is the same."""
    plain, scaled = (at_work(make_trainer(trainer_class, settings=settings_of(trainer_class))) for _ in range(2))
    scaled.network.load_state_dict(plain.network.state_dict())
    scaled._load_own_state(plain._own_state())
    scaled.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    batch = next_batch(plain)
    for _ in range(2):
        np.random.seed(1)
        plain.train_step(batch)
        np.random.seed(1)
        scaled.train_step(batch)
    expected = {**weights_of(plain), **own_state(plain)}
    for name, value in {**weights_of(scaled), **own_state(scaled)}.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5)


def at_work(trainer: TrainsBeside) -> TrainsBeside:
    """In the second of two epochs, where every part of the method is at work."""
    trainer.num_epochs, trainer.current_epoch = 2, 1
    trainer.initialize()
    trainer.logger.local_logger.my_fantastic_logging["lrs"] = [0.0]
    trainer.logger.local_logger.my_fantastic_logging["epoch_start_timestamps"] = [0.0]
    started(trainer)
    return trainer


@EVERY_METHOD
def test_a_loss_that_is_not_finite_is_shown(trainer_class: type[TrainsBeside]) -> None:
    """Numbers that only some iterations have are means over those; the loss is of all."""
    trainer = make_trainer(trainer_class, settings=settings_of(trainer_class))
    trainer.initialize()
    rows = [np.full(len(trainer.numbers), value, np.float32) for value in (1.0, np.nan)]
    trainer.on_train_epoch_end([{"loss": row[0], trainer.key: row} for row in rows])
    log = trainer.logger.local_logger.my_fantastic_logging
    shown = {name: log[f"{trainer.key}_{name}"][-1] for name in trainer.numbers}
    assert np.isnan(shown.pop("loss"))
    assert set(shown.values()) <= {1.0}


@EVERY_METHOD
def test_the_network_is_stock_nnunets(trainer_class: type[TrainsBeside]) -> None:
    """So that `nnUNetv2_dale_export` makes a model of it that stock nnU-Net predicts with."""
    assert stock_trainer(trainer_class.__name__) is nnUNetTrainer


@EVERY_METHOD
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tau": 1}, r"unknown setting 'tau' in .*\. Valid are: "),
        (["steps"], "to be an object of settings"),
    ],
)
def test_bad_settings_are_told_at_start(trainer_class: type[TrainsBeside], settings: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make_trainer(trainer_class, settings={trainer_class.key: settings})


@EVERY_METHOD
def test_settings_outside_a_configuration_are_refused(trainer_class: type[TrainsBeside]) -> None:
    plans = {**tiny_plans("Dataset901_Labels"), trainer_class.key: {}, "continue_training": False}
    with pytest.raises(ValueError, match="move it into a configuration"):
        trainer_class(plans, "2d", 0, {"labels": {"background": 0, "organ": 1}}, torch.device("cpu"))


@EVERY_METHOD
def test_non_finite_intensities_are_named_and_not_trained_on(trainer_class: type[TrainsBeside]) -> None:
    trainer = started(make_trainer(trainer_class))
    before, batch = weights_of(trainer), next_batch(trainer)
    batch["keys"] = ["fine", "with_a_hole"]
    batch["data"][1, 0, 5, 7] = float("nan")
    with pytest.raises(RuntimeError, match="NaN or infinite intensities, from with_a_hole"):
        trainer.train_step(batch)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(trainer).items())


@EVERY_METHOD
def test_residual_encoders_serve_too(trainer_class: type[TrainsBeside]) -> None:
    settings = {**settings_of(trainer_class), "architecture": architecture(2, residual=True)}
    trainer = at_work(make_trainer(trainer_class, settings=settings))
    values = trainer.train_step(next_batch(trainer))[trainer_class.key]
    assert np.isfinite(values).all()


@EVERY_METHOD
# nnU-Net compiles its Dice loss, which is given logits that are no leaves
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_network_takes_the_same_step(
    trainer_class: type[TrainsBeside], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.compile with AOT autograd and no code generation, which takes a minute on a CPU."""
    plain = at_work(make_trainer(trainer_class, settings=settings_of(trainer_class)))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    kind = type("Compiling", (trainer_class,), {"_do_i_compile": lambda self: True})
    compiled = at_work(make_trainer(kind, settings=settings_of(trainer_class)))
    assert isinstance(compiled.network, OptimizedModule)
    compiled._plain_network().load_state_dict(plain.network.state_dict())
    compiled._load_own_state(plain._own_state())
    batch = next_batch(plain)
    expected, got = (trainer.train_step(batch)[trainer_class.key] for trainer in (plain, compiled))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)
    for weight, other in zip(compiled.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=1e-5)
