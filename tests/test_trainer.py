"""The printed method trains whatever nnU-Net trains, logs it and resumes: real, very short trainings on a CPU."""

from __future__ import annotations

import gc
import json
import multiprocessing
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.logging import nnunet_logger
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor
from torch._dynamo import OptimizedModule
from trainer_fixtures import (
    CASES,
    NnunetFolders,
    architecture,
    log_of,
    make_trainer,
    next_batch,
    nnunet,  # noqa: F401 -- a fixture
    started,
    tiny_plans,
    train,
    weights_of,
)

from nnunetv2_dale.trainer_variants import nnUNetTrainerDALE_asPrinted as Printed
from nnunetv2_dale.trainer_variants import nnUNetTrainerDALE_noDeepSupervision

pytestmark = [
    pytest.mark.usefixtures("nnunet"),
    # nnU-Net: Dice of a class that one validation batch does not hold
    pytest.mark.filterwarnings("ignore:invalid value encountered in scalar divide:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning"),
]

NNUNET_KEYS = {
    "mean_fg_dice",
    "ema_fg_dice",
    "dice_per_class_or_region",
    "train_losses",
    "val_losses",
    "lrs",
    "epoch_start_timestamps",
    "epoch_end_timestamps",
}
DALE_KEYS = {
    "dale_non_fuzzy_loss",
    "dale_fuzzy_loss",
    "dale_alignment",
    "dale_confidence_mean",
    "dale_confidence_std",
    "dale_fuzzy_fraction",
    "dale_noisy_fraction",
    "dale_non_finite",
}


def check_log(log: dict[str, list[Any]], epochs: int) -> None:
    """One entry per epoch under every key, and DALE's numbers in their ranges."""
    assert set(log) == NNUNET_KEYS | DALE_KEYS
    assert {key: len(values) for key, values in log.items()} == dict.fromkeys(log, epochs)
    assert all(np.isfinite(log[key]).all() for key in DALE_KEYS | {"train_losses", "val_losses"})
    for key in ("dale_fuzzy_fraction", "dale_noisy_fraction"):
        assert all(0 <= value <= 1 for value in log[key])
    assert all(value > 0 for value in log["dale_fuzzy_fraction"])
    assert all(abs(value - 1) <= 0.1 + 1e-6 for value in log["dale_confidence_mean"])
    expected = [(a + b) / 2 for a, b in zip(log["dale_non_fuzzy_loss"], log["dale_fuzzy_loss"], strict=True)]
    assert np.allclose(log["train_losses"], expected, rtol=1e-5)


class OneOutput(nnUNetTrainerDALE_noDeepSupervision):
    """The printed method without deep supervision."""

    dale = Printed.dale


# --- what it trains ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trainer_class", "kind", "configuration", "settings"),
    [
        pytest.param(Printed, "Labels", "2d", {}, id="2d"),
        pytest.param(Printed, "Labels", "3d_fullres", {}, id="3d_fullres"),
        pytest.param(Printed, "Regions", "2d", {}, id="regions"),
        pytest.param(Printed, "Ignore", "2d", {}, id="ignore"),
        pytest.param(Printed, "RegionsIgnore", "2d", {}, id="regions-and-ignore"),
        pytest.param(Printed, "Labels", "2d", {"architecture": architecture(2, residual=True)}, id="ResEnc-2d"),
        pytest.param(Printed, "Labels", "3d_fullres", {"architecture": architecture(3, residual=True)}, id="ResEnc-3d"),
        pytest.param(OneOutput, "Labels", "2d", {}, id="no-deep-supervision"),
        pytest.param(OneOutput, "Labels", "3d_fullres", {}, id="no-deep-supervision-3d"),
    ],
)
def test_trains(trainer_class: type[nnUNetTrainer], kind: str, configuration: str, settings: dict[str, Any]) -> None:
    trainer = make_trainer(trainer_class, kind, configuration, settings=settings, epochs=2, iterations=4)
    trainer.initialize()
    assert type(trainer.network).__name__ == ("ResidualEncoderUNet" if settings else "PlainConvUNet")
    batch = batch_of_this_training(trainer)
    before, loss_before = weights_of(trainer), plain_loss(trainer, batch)

    log = train(trainer)

    check_log(log, epochs=2)
    assert plain_loss(trainer, batch) < loss_before
    unused = "decoder.seg_layers.0."  # nnU-Net gives the lowest resolution no weight in the loss
    unmoved = [name for name, weight in weights_of(trainer).items() if torch.equal(weight, before[name])]
    assert all(unused in name or trainer_class is OneOutput for name in unmoved)
    assert all(weight.isfinite().all() for weight in weights_of(trainer).values())
    folder = Path(trainer.output_folder)
    assert {"checkpoint_final.pth", "checkpoint_best.pth", "progress.png"} <= {file.name for file in folder.iterdir()}


def batch_of_this_training(trainer: nnUNetTrainer) -> dict[str, Any]:
    trainer.dataloader_train, _ = trainer.get_dataloaders()
    return next_batch(trainer, seed=1)


@torch.no_grad()
def plain_loss(trainer: nnUNetTrainer, batch: dict[str, Any]) -> float:
    """nnU-Net's own loss of a batch in its training form."""
    trainer.network.eval()
    targets = batch["target"]
    copies = [target.clone() for target in targets] if isinstance(targets, list) else targets.clone()
    return float(trainer.validation_step({"data": batch["data"], "target": copies})["loss"])


def test_cascade(nnunet: NnunetFolders, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """3d_lowres predicts the cases for 3d_cascade_fullres, which gets them as one-hot channels that no mask touches."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda *_: SimpleNamespace(Pool=ThreadPool))
    small_patches = {"dale": {"patch_size": 4}}  # so few voxels are a single patch of 16
    low = make_trainer(Printed, configuration="3d_lowres", fold="all", settings=small_patches)
    check_log(train(low), epochs=1)
    low.perform_actual_validation()
    predicted = Path(low.output_folder_base, "predicted_next_stage", "3d_cascade_fullres")
    assert len(list(predicted.glob("*.b2nd"))) == CASES

    cascade = started(make_trainer(Printed, configuration="3d_cascade_fullres", fold=0))
    batch = next_batch(cascade)
    assert batch["data"].shape[1] == 1 + 4  # the image, and the foreground classes of the previous stage
    assert batch["data"][:, 1:].any()
    seen = inputs_of(cascade.network)
    cascade.train_step(batch)
    assert len(seen) == 2  # the non-fuzzy view and the fuzzy view
    for view in seen:
        assert torch.equal(view[:, 1:], batch["data"][:, 1:])
        assert not torch.equal(view[:, :1], batch["data"][:, :1])
    check_log(train(make_trainer(Printed, configuration="3d_cascade_fullres", fold=0)), epochs=1)


def inputs_of(network: torch.nn.Module) -> list[Tensor]:
    """A list that collects what the network is given from now on."""
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    return seen


def test_starts_from_the_weights_of_plain_nnunet() -> None:
    plain = make_trainer(nnUNetTrainer)
    train(plain)
    file = str(Path(plain.output_folder, "checkpoint_final.pth"))
    trainer = make_trainer(Printed)
    maybe_load_checkpoint(trainer, continue_training=False, validation_only=False, pretrained_weights_file=file)
    loaded, expected = weights_of(trainer), weights_of(plain)
    assert all(torch.equal(loaded[name], expected[name]) for name in expected if ".seg_layers." not in name)
    check_log(train(trainer), epochs=1)


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_come_from_the_plans() -> None:
    """What "dale" says holds, is written to the log, and travels in the checkpoint."""
    settings = {"dale": {"confidence_steps": 0, "alignment_weight": 0.25, "patch_size": 4}}
    trainer = make_trainer(Printed, settings=settings)
    log = train(trainer)
    assert (trainer.dale.confidence_steps, trainer.dale.alignment_weight, trainer.dale.patch_size) == (0, 0.25, 4)
    assert Printed.dale.confidence_steps == 1
    assert log["dale_confidence_mean"] == [1.0]
    assert '"confidence_steps": 0' in Path(trainer.log_file).read_text()
    saved = torch.load(Path(trainer.output_folder, "checkpoint_final.pth"), weights_only=False)
    assert saved["init_args"]["plans"]["configurations"]["2d"]["dale"] == settings["dale"]


def test_the_patch_size_of_the_plans_changes_what_is_fuzzy() -> None:
    """With one patch per image the fuzziness is constant, hence 0 after min–max: nothing is fuzzy."""
    log = train(make_trainer(Printed, settings={"dale": {"patch_size": 32}}))
    assert log["dale_fuzzy_fraction"] == [0.0]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tau": 0.5}, r"unknown DALE setting 'tau'\. Valid are: .*fuzzy_threshold \(0 to 1\)"),
        ({"fuzzy_threshold": 1.5}, "fuzzy_threshold must be in 0 to 1, got 1.5"),
        ({"view": "both"}, r"view must be one of masked_input \| masked_loss, got 'both'"),
        (["view"], 'expected "dale" to be an object of settings'),
    ],
    ids=["unknown", "range", "choice", "list"],
)
def test_bad_settings_are_told_at_start(settings: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make_trainer(Printed, settings={"dale": settings})


def test_settings_outside_a_configuration_are_refused() -> None:
    plans = {**tiny_plans("Dataset901_Labels"), "dale": {"view": "masked_loss"}, "continue_training": False}
    with pytest.raises(ValueError, match="move it into a configuration"):
        Printed(plans, "2d", 0, {}, torch.device("cpu"))


def test_the_alignment_waits_for_its_warmup() -> None:
    log = train(make_trainer(Printed, settings={"dale": {"alignment_warmup": 1}}, epochs=2, iterations=4))
    assert log["dale_alignment"][0] == 0
    assert log["dale_alignment"][1] > 0


# --- log --------------------------------------------------------------------------------------------------------------


class FakeRun:
    """A Weights & Biases run that remembers what it is told."""

    def __init__(self) -> None:
        self.step, self.summary, self.logged = 0, {}, []
        self.values: dict[str, Any] = {}
        self.config = SimpleNamespace(update=self.values.update)

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((step, values))


def test_weights_and_biases_gets_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun()
    monkeypatch.setattr(nnunet_logger, "wandb", SimpleNamespace(init=lambda **_: run))
    monkeypatch.setenv("nnUNet_wandb_enabled", "1")
    trainer = make_trainer(Printed, epochs=2)
    log = train(trainer)
    for key in DALE_KEYS:
        assert [values[key] for _, values in run.logged if key in values] == log[key]
        assert [step for step, values in run.logged if key in values] == [0, 1]
    assert run.values["dale"]["fuzzy_threshold"] == 0.9


def test_the_text_log_holds_dales_numbers_of_every_epoch() -> None:
    trainer = make_trainer(Printed, epochs=2)
    log = train(trainer)
    lines = [line.split("DALE {")[1] for line in Path(trainer.log_file).read_text().splitlines() if "DALE {" in line]
    for epoch, line in enumerate(lines):
        numbers = json.loads("{" + line)
        assert {f"dale_{name}" for name in numbers} == DALE_KEYS
        assert numbers["fuzzy_loss"] == pytest.approx(log["dale_fuzzy_loss"][epoch], abs=1e-4)
    assert len(lines) == 2


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


# --- resume -----------------------------------------------------------------------------------------------------------


class SeededEpochs(Printed):
    """Draws the same batches in the same epoch, so that trainings can be compared."""

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
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


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    whole = make_trainer(SeededEpochs, epochs=3)
    whole_log = train(whole)

    monkeypatch.setenv("nnUNet_results", str(tmp_path / "interrupted"))
    torch.manual_seed(0)
    stop_after(make_trainer(SeededEpochs, epochs=3), epochs=2)
    resumed = make_trainer(SeededEpochs, epochs=3, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    assert resumed.current_epoch == 2
    resumed_log = train(resumed)

    check_log(resumed_log, epochs=3)
    expected = weights_of(whole)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights_of(resumed).items())
    assert all(resumed_log[key] == whole_log[key] for key in DALE_KEYS | {"train_losses", "lrs"})


def test_epochs_before_the_numbers_were_kept_count_as_nan() -> None:
    """A checkpoint without DALE's keys in its log is resumed, and the log stays complete."""
    stop_after(make_trainer(Printed, epochs=2), epochs=1)
    resumed = make_trainer(Printed, epochs=2, resume=True)
    file = Path(resumed.output_folder, "checkpoint_latest.pth")
    checkpoint = torch.load(file, weights_only=False)
    checkpoint["logging"] = {key: values for key, values in checkpoint["logging"].items() if key in NNUNET_KEYS}
    torch.save(checkpoint, file)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    log = train(resumed)
    assert {key: len(values) for key, values in log.items()} == dict.fromkeys(NNUNET_KEYS | DALE_KEYS, 2)
    assert all(np.isnan(log[key][0]) and np.isfinite(log[key][1]) for key in DALE_KEYS)


def test_no_checkpoint_where_they_are_switched_off() -> None:
    trainer = make_trainer(Printed)
    trainer.disable_checkpointing = True
    train(trainer)
    assert not list(Path(trainer.output_folder).glob("checkpoint*"))


def test_only_the_first_rank_touches_checkpoints(tmp_path: Path) -> None:
    """The others neither finish nor remove the file that rank 0 is writing."""
    trainer = make_trainer(Printed)
    trainer.local_rank = 1
    (tmp_path / "checkpoint_latest.pth.unfinished").write_text("half of it")
    trainer.save_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    assert {path.name: path.read_text() for path in tmp_path.glob("check*")} == {
        "checkpoint_latest.pth.unfinished": "half of it"
    }


# --- devices and compilers --------------------------------------------------------------------------------------------


def test_gradient_scaling_changes_nothing() -> None:
    """GradScaler multiplies by a power of 2 and divides again: on the CPU in float32 both updates are the same."""
    plain, scaled = (started(make_trainer(Printed)) for _ in range(2))
    scaled.network.load_state_dict(plain.network.state_dict())
    scaled.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    batch = next_batch(plain)
    for _ in range(3):
        plain.train_step(batch)
        scaled.train_step(batch)
    expected = weights_of(plain)
    for name, weight in weights_of(scaled).items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-6)


def test_an_overflow_skips_both_updates_and_leaves_the_confidence_at_1() -> None:
    trainer = started(make_trainer(Printed))
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
def test_trains_in_mixed_precision_on_cuda(configuration: str, compiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_compile", compiled)
    trainer = make_trainer(Printed, configuration=configuration, epochs=2, iterations=8, device="cuda")
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


def test_a_compiled_network_takes_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile with AOT autograd and no code generation, which takes a minute on a CPU."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain = started(make_trainer(Printed))
    compiled = started(make_trainer(Compiling))
    assert isinstance(compiled.network, OptimizedModule)
    assert not isinstance(plain.network, OptimizedModule)
    compiled.network._orig_mod.load_state_dict(plain.network.state_dict())
    batch = next_batch(plain)
    for trainer in (plain, compiled):
        trainer.alternating_step.generator.manual_seed(0)
    expected, got = (trainer.train_step(batch)["dale"] for trainer in (plain, compiled))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    for weight, other in zip(compiled.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-6)


# --- memory -----------------------------------------------------------------------------------------------------------


class Saved:
    """What an autograd graph keeps of a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize(
    "settings", [{}, {"confidence_gradient": "reuse"}, {"directional_derivative": "forward_mode"}], ids=str
)
def test_nothing_grows_over_iterations(settings: dict[str, Any]) -> None:
    """No graph outlives its iteration, and the tensors alive between iterations stay as many."""
    trainer = started(make_trainer(Printed, settings={"dale": settings}))
    batch = next_batch(trainer)
    kept: weakref.WeakSet[Saved] = weakref.WeakSet()

    def pack(tensor: Tensor) -> Saved:
        saved = Saved(tensor.detach())  # not the tensor itself: the graph would hold itself
        kept.add(saved)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        alive = [live_tensors() for _ in range(2) if [trainer.train_step(batch) for _ in range(10)]]
    assert alive[0] == alive[1]
    assert len(kept) == 0


def live_tensors() -> tuple[int, int]:
    """How many tensors Python holds, and their bytes."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    return len(tensors), sum(tensor.nbytes for tensor in tensors)
