"""The contract of every trainer, as scikit-learn's `check_estimator`: a new trainer is tested by being listed."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import pkgutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2_dale.trainers import nnunetv2_dale_trainers
from torch._dynamo import OptimizedModule

import nnunetv2_dale.trainer
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.export.cli import main as export
from nnunetv2_dale.nnunet_files.displacement_file import FILE
from nnunetv2_dale.nnunet_files.stock_model import stock_trainer
from nnunetv2_dale.trainer import variants
from nnunetv2_dale.trainer.all_trainers import ALL_TRAINERS, LENGTHS, WRITTEN
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.modules_beside import TrainsBeside
from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.with_unlabelled import TrainsWithUnlabelled
from tests.datasets import architecture, tiny_plans
from tests.trainer.every_method import AT_ONCE, BY_AND_BY, Settings, settings_of
from tests.trainer.fixtures import (
    NNUNET_KEYS,
    PHASE_KEYS,
    TINY_TRAININGS,
    SeededEpochs,
    check_log,
    close,
    leaves,
    log_of,
    make_trainer,
    next_batch,
    started,
    state_of,
    stop_after,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS

# one of each method; ablations differ in a setting
FAMILIES = [kind for kind in WRITTEN if "_" not in kind.__name__] + [variants.nnUNetTrainerDALE_asPrinted]
EVERY_TRAINER = pytest.mark.parametrize("trainer_class", WRITTEN, ids=lambda kind: kind.__name__)
EVERY_FAMILY = pytest.mark.parametrize("trainer_class", FAMILIES, ids=lambda kind: kind.__name__)
NO_GROUPS = {"dale_case_mean", "dale_case_std"}  # no trust to take the mean of
RESIDUAL = {"architecture": architecture(2, residual=True)}
UNLABELLED = [("Unlabelled", "3d_fullres", {}), ("Unlabelled", "2d", {"architecture": architecture(2, residual=True)})]
DATA = [("Labels", "3d_fullres", {}), ("Regions", "2d", {}), ("Ignore", "2d", {}), ("RegionsIgnore", "2d", {})]


def make(
    trainer_class: type[nnUNetTrainer], table: Settings = BY_AND_BY, data: tuple[str, str] | None = None, **others: Any
) -> nnUNetTrainer:
    """A trainer on what it can train: some need cases without labels, DK-UXNet three axes."""
    in_3d = issubclass(trainer_class, nnUNetTrainerDKUXNet)
    kind = "Unlabelled" if issubclass(trainer_class, TrainsWithUnlabelled) else "Labels"
    kind, configuration = data or (kind, "3d_fullres" if in_3d else "2d")
    settings = settings_of(trainer_class, table) | others.pop("settings", {})
    if in_3d and "iterations" not in others:
        others["iterations"] = 1  # of the slowest network
    return make_trainer(trainer_class, kind, configuration, settings=settings, **others)


def alike(trainer_class: type[nnUNetTrainer], table: Settings = AT_ONCE, **others: Any) -> nnUNetTrainer:
    """In its first epoch, with the same first weights each time."""
    torch.manual_seed(0)
    return started(make(trainer_class, table, **others))


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


def checkpoint_of(trainer: nnUNetTrainer) -> dict[str, Any]:
    """All of the final checkpoint but the times, and the best pseudo Dice.

    nnU-Net stores `checkpoint_latest` before it compares an epoch with the best one, so a resumed training can take a
    lower one for the best. The log has the pseudo Dice of every epoch.
    """
    checkpoint = torch.load(Path(trainer.output_folder, "checkpoint_final.pth"), weights_only=False)
    left_out = ("timestamps", ".device", "._best_ema")
    return {key: value for key, value in leaves(checkpoint).items() if not any(part in key for part in left_out)}


@EVERY_FAMILY
def test_a_resumed_training_equals_an_uninterrupted_one(trainer_class, tmp_path, monkeypatch) -> None:
    """Bit by bit, in all that the checkpoint holds and in the memory of the cases; most trainers change phase."""
    kind: type[nnUNetTrainer] = type("Seeded", (SeededEpochs, trainer_class), {})
    torch.manual_seed(0)
    whole = make(kind, epochs=3, iterations=4)
    train(whole)

    monkeypatch.setenv("nnUNet_results", str(tmp_path / "interrupted"))
    torch.manual_seed(0)
    stop_after(make(kind, epochs=3, iterations=4), epochs=2)
    torch.manual_seed(1)
    resumed = make(kind, epochs=3, iterations=4, resume=True)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    assert resumed.current_epoch == 2
    train(resumed)

    np.testing.assert_equal(
        {key: value for key, value in checkpoint_of(resumed).items() if "continue_training" not in key},
        {key: value for key, value in checkpoint_of(whole).items() if "continue_training" not in key},
    )
    if trainer_class is variants.nnUNetTrainerDALE_asPrinted:
        check_log(log_of(resumed), epochs=3)
    memories = [Path(trainer.output_folder, FILE) for trainer in (whole, resumed)]
    assert [file.exists() and file.read_text() for file in memories][::2] == [
        memories[1].exists() and memories[1].read_text()
    ]


@pytest.mark.parametrize("trainer_class", [nnUNetTrainerCaseTrust, nnUNetTrainerDALE])
def test_a_finished_training_stays_as_it_is_and_can_be_made_longer(trainer_class: type[SafeTraining]) -> None:
    """nnU-Net #1422, #1848: `--c` once more, and with more epochs than the training had."""
    train(make(trainer_class, epochs=1))
    for epochs in (1, 2):
        resumed = make(trainer_class, epochs=epochs, resume=True)
        maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
        assert resumed.current_epoch == 1
        assert {len(values) for values in train(resumed).values()} == {epochs}


@EVERY_FAMILY
def test_epochs_before_the_numbers_were_kept_count_as_nan(trainer_class: type[SafeTraining]) -> None:
    """A checkpoint without the method's keys in its log is resumed, and the log stays complete."""
    stop_after(make(trainer_class, epochs=2), epochs=1)
    resumed = make(trainer_class, epochs=2, resume=True)
    file = Path(resumed.output_folder, "checkpoint_latest.pth")
    checkpoint = torch.load(file, weights_only=False)
    checkpoint["logging"] = {key: values for key, values in checkpoint["logging"].items() if key in NNUNET_KEYS}
    torch.save(checkpoint, file)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    log = train(resumed)
    assert {key: len(values) for key, values in log.items()} == dict.fromkeys(NNUNET_KEYS | set(resumed.log_keys), 2)
    assert all(np.isnan(log[key][0]) for key in resumed.log_keys)
    assert {key for key in resumed.log_keys if key not in PHASE_KEYS and not np.isfinite(log[key][1])} <= NO_GROUPS


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


@pytest.mark.parametrize("trainer_class", [kind for kind in FAMILIES if kind is not nnUNetTrainerDKUXNet])  # a minute
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


# --- files ------------------------------------------------------------------------------------------------------------


@EVERY_TRAINER
def test_the_checkpoint_of_another_trainer_is_refused(trainer_class: type[SafeTraining]) -> None:
    """In one sentence, with the file as it was; its own is taken."""
    trainer = make(trainer_class)
    trainer.initialize()
    file = Path(trainer.output_folder, "checkpoint_final.pth")
    trainer.save_checkpoint(str(file))
    mine = make(trainer_class, resume=True)
    maybe_load_checkpoint(mine, continue_training=True, validation_only=False)
    torch.save({**torch.load(file, weights_only=False), "trainer_name": "nnUNetTrainerOther"}, file)
    before = file.read_bytes()
    refused = rf"trainer nnUNetTrainerOther, expected {trainer_class.__name__}\); nothing was changed"
    with pytest.raises(RuntimeError, match=refused):
        maybe_load_checkpoint(make(trainer_class, resume=True), continue_training=True, validation_only=False)
    assert file.read_bytes() == before


@EVERY_FAMILY
def test_no_checkpoint_where_they_are_switched_off(trainer_class: type[SafeTraining]) -> None:
    trainer = make(trainer_class)
    trainer.disable_checkpointing = True
    train(trainer)
    assert not [*Path(trainer.output_folder).glob("checkpoint*"), *Path(trainer.output_folder).glob(FILE)]


@EVERY_FAMILY
def test_only_the_first_rank_touches_checkpoints(trainer_class: type[SafeTraining], tmp_path: Path) -> None:
    """The others neither finish nor remove the file that rank 0 is writing."""
    trainer = make(trainer_class)
    trainer.local_rank = 1
    (tmp_path / "checkpoint_latest.pth.unfinished").write_text("half of it")
    trainer.save_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    assert {path.name: path.read_text() for path in tmp_path.glob("check*")} == {
        "checkpoint_latest.pth.unfinished": "half of it"
    }


@EVERY_FAMILY
def test_exports_the_trained_network_or_says_why_not(trainer_class: type[SafeTraining], tmp_path: Path, capsys) -> None:
    """Only the network is in it, in plain types, and its weights are the trained ones."""
    trainer = make(trainer_class)
    train(trainer)
    code = export(["-i", trainer.output_folder_base, "-o", str(tmp_path / "export"), "-f", "0"])
    if isinstance(reason := stock_or_reason(trainer_class.__name__), str):
        assert code == 2
        assert reason in capsys.readouterr().err
        assert "install nnunetv2-dale" in reason
        assert not (tmp_path / "export").exists()
        return
    assert code == 0
    (exported,) = (tmp_path / "export").rglob("checkpoint_final.pth")
    checkpoint = torch.load(exported, weights_only=True)
    assert not set(checkpoint) & set(trainer._added_to_checkpoint())
    close(leaves(checkpoint["network_weights"]), leaves(weights_of(trainer)))


def stock_or_reason(name: str) -> type[nnUNetTrainer] | str:
    """The trainer of nnU-Net that loads the exported model; or the sentence that says why there is none."""
    try:
        return stock_trainer(name)
    except UserError as error:
        return str(error)


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


@EVERY_FAMILY
def test_a_fold_that_cannot_be_trained_is_told_at_start(trainer_class: type[SafeTraining]) -> None:
    trainer = make(trainer_class)
    splits = Path(trainer.preprocessed_dataset_folder_base) / "splits_final.json"
    given = splits.read_text()
    first, *others = json.loads(given)
    try:
        for fold, sentence in (
            ({**first, "val": []}, "fold 0 of .* has no validation case; give it one"),
            ({**first, "train": []}, "fold 0 of .* has no training case; give it one"),
            ({**first, "val": ["gone.nii.gz"]}, "fold 0 of .* names 1 cases that are not in .*, first gone.nii.gz; "),
            ({"train": first["train"]}, "is no split of nnU-Net"),
        ):
            splits.write_text(json.dumps([fold, *others]))
            with pytest.raises((RuntimeError, UserError), match=sentence):
                trainer.initialize()
    finally:
        splits.write_text(given)


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
