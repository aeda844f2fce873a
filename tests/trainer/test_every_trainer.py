"""The contract of every trainer, as scikit-learn's `check_estimator`: a new trainer is tested by being listed."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2_dale.trainers import nnunetv2_dale_trainers
from torch._dynamo import OptimizedModule

import nnunetv2_dale.trainer
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.trainer import variants
from nnunetv2_dale.trainer.all_trainers import ALL_TRAINERS, LENGTHS, WRITTEN
from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.modules_beside import TrainsBeside
from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.with_unlabelled import TrainsWithUnlabelled
from tests.datasets import architecture, tiny_plans
from tests.trainer.every_method import EVERY_FAMILY, EVERY_TRAINER, FAMILIES, NO_GROUPS, alike, make
from tests.trainer.fixtures import (
    NNUNET_KEYS,
    PHASE_KEYS,
    TINY_TRAININGS,
    check_log,
    close,
    log_of,
    make_trainer,
    next_batch,
    state_of,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS

RESIDUAL = {"architecture": architecture(2, residual=True)}
UNLABELLED = [("Unlabelled", "3d_fullres", {}), ("Unlabelled", "2d", {"architecture": architecture(2, residual=True)})]
DATA = [("Labels", "3d_fullres", {}), ("Regions", "2d", {}), ("Ignore", "2d", {}), ("RegionsIgnore", "2d", {})]


def told(trainer: SafeTraining) -> list[dict[str, float]]:
    """The numbers of each epoch in the text log, in one line or in two, under the keys of nnU-Net's log."""
    lines = [line for line in Path(trainer.log_file).read_text().splitlines() if ' {"' in line]
    found: list[dict[str, float]] = []
    for line in (line for line in lines if "settings:" not in line):
        numbers = json.loads(line[line.index("{") :], parse_constant=pytest.fail)  # NaN has no place in a line
        first = next(iter(numbers))
        starts = [key.removesuffix(first) for key in trainer.log_keys if key.endswith(first)]
        start = next(each for each in starts if {each + name for name in numbers} <= set(trainer.log_keys))
        told = {start + name: value for name, value in numbers.items()}
        if found and not told.keys() & found[-1].keys():
            found[-1] |= told
        else:
            found.append(told)
    return found


# --- found, made, called ----------------------------------------------------------------------------------------------


@EVERY_TRAINER
def test_nnunet_finds_it_in_every_length_and_it_pickles(trainer_class: type[SafeTraining]) -> None:
    names = [trainer_class.__name__, *(f"{trainer_class.__name__}{suffix}" for suffix in LENGTHS)]
    assert recursive_find_trainer_class_by_name(names[-1]) is ALL_TRAINERS[names[-1]]
    for name in names:
        kind = getattr(nnunetv2_dale_trainers, name)
        assert kind is ALL_TRAINERS[name]
        assert pickle.loads(pickle.dumps(kind)) is kind
        builders = (inspect.getattr_static(each, "build_network_architecture") for each in (kind, trainer_class))
        assert next(builders) is next(builders)


@EVERY_TRAINER
def test_a_length_has_the_epochs_of_nnunets_and_the_methods_settings(trainer_class: type[SafeTraining]) -> None:
    written = make(trainer_class, epochs=None)
    assert written.num_epochs == 1000
    for suffix, plain in LENGTHS.items():
        trainer = make(ALL_TRAINERS[trainer_class.__name__ + suffix], epochs=None)
        assert trainer.num_epochs == make_trainer(plain, epochs=None).num_epochs
        assert trainer.initial_lr == written.initial_lr
        assert all(getattr(trainer, name) == getattr(written, name) for name in trainer.settings_of)


def test_every_class_of_the_folder_is_listed() -> None:
    """A class that nnU-Net cannot find does not exist for its users."""
    modules = [
        importlib.import_module(f"nnunetv2_dale.trainer.{found.name}")
        for found in pkgutil.iter_modules(nnunetv2_dale.trainer.__path__)
    ]
    ours = {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and name.startswith("nnUNetTrainer")
    }
    assert ours == ALL_TRAINERS


# --- trained ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trainer_class", "data", "settings"),
    [
        *(pytest.param(kind, None, {}, id=kind.__name__) for kind in WRITTEN),
        *(
            pytest.param(kind, (labels, configuration), settings, id=f"{kind.__name__}-{labels}-{configuration}")
            for kind in FAMILIES
            if not issubclass(kind, nnUNetTrainerDKUXNet)
            for labels, configuration, settings in (
                UNLABELLED if issubclass(kind, TrainsWithUnlabelled) else [*DATA, ("Labels", "2d", RESIDUAL)]
            )
        ),
    ],
)
def test_trains_and_logs_its_numbers(trainer_class: type[SafeTraining], data: tuple[str, str] | None, settings) -> None:
    trainer = make(trainer_class, data=data, settings=settings, epochs=2, iterations=4)
    trainer.initialize()
    before = state_of(trainer)

    log = train(trainer)

    assert {key: len(values) for key, values in log.items()} == dict.fromkeys(NNUNET_KEYS | set(trainer.log_keys), 2)
    assert np.isfinite([log["train_losses"], log["val_losses"]]).all()
    after = state_of(trainer)
    assert all(np.isfinite(value).all() for value in after.values() if isinstance(value, np.ndarray))
    unmoved = [name for name in after if name.startswith(".network") and np.array_equal(after[name], before[name])]
    # nnU-Net gives the lowest resolution no weight in the loss; without deep supervision only the highest has one
    unused = ".decoder.seg_layers.0." if trainer.enable_deep_supervision else ".decoder.seg_layers."
    assert all(unused in name or name == ".network.query_share" for name in unmoved)  # set once queries have learned
    assert any(not np.array_equal(after[name], before[name]) for name in after if ".own" in name) or len(after) == sum(
        ".network" in name for name in after
    )
    numbers = [key for key in trainer.log_keys if key not in PHASE_KEYS]
    expected = [{key: log[key][epoch] for key in numbers if np.isfinite(log[key][epoch])} for epoch in range(2)]
    assert [pytest.approx(each, abs=1e-4) for each in expected if each] == told(trainer)
    last = expected[-1] if numbers else {}
    assert {key for key in numbers if key not in last} <= NO_GROUPS
    if trainer_class is variants.nnUNetTrainerDALE_asPrinted:
        check_log(log, epochs=2)
    folder = Path(trainer.output_folder)
    assert {"checkpoint_final.pth", "checkpoint_best.pth", "progress.png"} <= {file.name for file in folder.iterdir()}


@EVERY_FAMILY
def test_gradient_scaling_changes_nothing(trainer_class: type[SafeTraining]) -> None:
    """GradScaler multiplies by a power of 2 and divides again: on the CPU in float32 every update is the same."""
    plain, scaled = (alike(trainer_class) for _ in range(2))
    scaled.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    batch = next_batch(plain)
    for _ in range(2):
        for trainer in (plain, scaled):
            np.random.seed(1)
            trainer.train_step(batch)
    close(state_of(scaled), state_of(plain), rtol=1e-4, atol=1e-6)


# DK-UXNet takes a minute; `test_devices.py` has the printed method
@pytest.mark.parametrize(
    "trainer_class", sorted(set(FAMILIES) - {nnUNetTrainerDKUXNet, variants.nnUNetTrainerDALE_asPrinted}, key=str)
)
# nnU-Net compiles its Dice loss, which is given logits that are no leaves
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_network_takes_the_same_step(trainer_class: type[SafeTraining], monkeypatch) -> None:
    """torch.compile with AOT autograd and no code generation, which takes a minute on a CPU."""
    plain = alike(trainer_class)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    compiled = alike(type("Compiling", (trainer_class,), {"_do_i_compile": lambda self: True}))
    assert isinstance(compiled.network, OptimizedModule)
    batch = next_batch(plain)
    for trainer in (plain, compiled):
        np.random.seed(1)
        trainer.train_step(batch)
    close({name.replace("._orig_mod.", "."): value for name, value in state_of(compiled).items()}, state_of(plain))


@EVERY_FAMILY
def test_a_loss_that_is_not_finite_is_shown(trainer_class: type[SafeTraining]) -> None:
    """Numbers that only some iterations have are means over those; the loss is of all."""
    trainer = alike(trainer_class)
    outputs = [trainer.train_step(next_batch(trainer, seed)) for seed in range(2)]
    outputs[0]["loss"] = np.float32(np.nan)
    losses = ["train_losses"]
    if isinstance(trainer, TrainsBeside):
        outputs[0][trainer.key] = np.full_like(outputs[0][trainer.key], np.nan)
        losses.append(f"{trainer.key}_loss")
    trainer.on_train_epoch_end(outputs)
    log = log_of(trainer)
    assert [key for key in losses if not np.isnan(log[key][0])] == []
    others = [key for key in trainer.log_keys if key not in {*losses, *PHASE_KEYS, *NO_GROUPS} and log[key]]
    assert others or not trainer.log_keys  # a validation's are not there yet
    assert np.isfinite([log[key][0] for key in others]).all()


# --- refused ----------------------------------------------------------------------------------------------------------


@EVERY_FAMILY
def test_non_finite_intensities_are_named_and_not_trained_on(trainer_class: type[SafeTraining]) -> None:
    trainer = alike(trainer_class)
    before, batch = weights_of(trainer), next_batch(trainer)
    batch["keys"] = ["fine", "with_a_hole"]
    for value in (float("nan"), float("inf"), float("-inf")):
        batch["data"][1].view(-1)[7] = value
        with pytest.raises(RuntimeError, match="NaN or infinite intensities, from with_a_hole; repair these images"):
            trainer.train_step(batch)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(trainer).items())


@contextmanager
def given_splits(trainer: SafeTraining) -> Iterator[tuple[Path, list[dict[str, list[str]]]]]:
    """The file of folds and what it holds; afterwards it holds that again."""
    splits = Path(trainer.preprocessed_dataset_folder_base) / "splits_final.json"
    given = splits.read_text()
    try:
        yield splits, json.loads(given)
    finally:
        splits.write_text(given)


@EVERY_FAMILY
def test_a_fold_that_cannot_be_trained_is_told_at_start(trainer_class: type[SafeTraining]) -> None:
    trainer = make(trainer_class)
    with given_splits(trainer) as (splits, (first, *others)):
        for fold, sentence in (
            ({**first, "val": []}, "fold 0 of .* has no validation case; give it one"),
            ({**first, "train": []}, "fold 0 of .* has no training case; give it one"),
            ({**first, "val": ["gone.nii.gz"]}, "fold 0 of .* names 1 case not in .*, first gone.nii.gz; "),
            ({"train": first["train"]}, "is no split of nnU-Net"),
        ):
            splits.write_text(json.dumps([fold, *others]))
            with pytest.raises((RuntimeError, UserError), match=sentence):
                trainer.initialize()


@EVERY_FAMILY
def test_a_fold_may_name_a_case_often(trainer_class: type[SafeTraining]) -> None:
    """It is drawn as often, as nnU-Net does it, and is one case."""
    trainer = make(trainer_class)
    with given_splits(trainer) as (splits, (first, *others)):
        splits.write_text(json.dumps([{**first, "train": first["train"] * 3}, *others]))
        train(trainer)
    assert sorted(trainer.training_cases) == sorted(set(first["train"]))


SETTINGS = [(kind, getattr(kind, name).plans_key) for kind in FAMILIES for name in kind.settings_of]


@pytest.mark.parametrize(("trainer_class", "key"), SETTINGS)
def test_bad_settings_are_told_at_start(trainer_class: type[SafeTraining], key: str) -> None:
    for settings, sentence in (
        ({"tau": 1}, rf"unknown setting 'tau' in .{key}.\. Valid are: "),
        (["steps"], f'expected "{key}" to be an object of settings'),
    ):
        with pytest.raises(ValueError, match=sentence):
            make(trainer_class, settings={key: settings})
    plans = {**tiny_plans("Dataset901_Labels"), key: {}, "continue_training": False}
    labels = {"labels": {"background": 0, "organ": 1, "ignore": 2}}
    with pytest.raises(ValueError, match=f'"{key}" is at the top of the plans, .*move it into a configuration'):
        trainer_class(plans, "3d_fullres", 0, labels, torch.device("cpu"))


@pytest.mark.parametrize(("trainer_class", "key"), SETTINGS)
def test_settings_are_in_the_log_and_in_the_checkpoint(trainer_class: type[SafeTraining], key: str) -> None:
    trainer = make(trainer_class)
    trainer.initialize()
    line = next(line for line in Path(trainer.log_file).read_text().splitlines() if f"{key} settings:" in line)
    given = trainer.configuration_manager.configuration.get(key, {})
    assert json.loads(line[line.index("{") :]).items() >= given.items()
    trainer.save_checkpoint(str(Path(trainer.output_folder, "checkpoint_final.pth")))
    saved = torch.load(Path(trainer.output_folder, "checkpoint_final.pth"), weights_only=False)["init_args"]["plans"]
    assert saved["configurations"][trainer.configuration_name].get(key, {}) == given
