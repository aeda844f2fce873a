"""Every trainer with what people know about the labels: maps, weights of cases, classes that are not annotated."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.testing import assert_close

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.confidence import nnUNetTrainerConfidence
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.rivals import nnUNetTrainerGCE
from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.with_unlabelled import TrainsWithUnlabelled
from tests.datasets import CASES, DATASETS, NnunetFolders
from tests.run_commands import use_threads
from tests.trainer.every_method import FAMILIES, alike, make, whole_and_resumed
from tests.trainer.fixtures import (
    CONFIDENCE,
    NNUNET_KEYS,
    TINY_TRAININGS,
    SeededEpochs,
    close,
    doubted,
    first_of_cascade,
    give_confidence,
    in_half,
    log_of,
    make_trainer,
    next_batch,
    started,
    state_of,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS
TAKING = [kind for kind in FAMILIES if not issubclass(kind, TrainsWithUnlabelled)]
REGIONS = f"case,weight,body,lesion\n{CASES[0]},1,1,0\n{CASES[1]},1,0,1\n{CASES[2]},0.5,1,1\n{CASES[3]},0,1,1\n"


@pytest.fixture
def given(nnunet: NnunetFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All of it on the label maps of the 2d configuration."""
    return give_confidence(tmp_path / "preprocessed", monkeypatch, CONFIDENCE, in_half)


# --- every trainer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trainer_class", "kind"),
    [
        *((kind, labels) for kind in TAKING for labels in ("Labels", "RegionsIgnore")),
        *((nnUNetTrainerConfidence, labels) for labels in ("Regions", "Ignore")),
    ],
)
def test_trains_with_it(trainer_class: type[SafeTraining], kind: str, nnunet, tmp_path: Path, monkeypatch) -> None:
    table = REGIONS if kind.startswith("Regions") else CONFIDENCE
    give_confidence(tmp_path / "preprocessed", monkeypatch, table, in_half, kind)
    trainer = make(trainer_class, data=(kind, "2d"), epochs=2 if kind == "Labels" else 1, iterations=4)
    log = train(trainer)
    lengths = dict.fromkeys(NNUNET_KEYS | set(trainer.log_keys), trainer.num_epochs)
    assert {key: len(values) for key, values in log.items()} == lengths
    assert np.isfinite([log["train_losses"], log["val_losses"]]).all()
    assert all(np.isfinite(value).all() for value in state_of(trainer).values() if isinstance(value, np.ndarray))
    assert trainer.training_cases == (CASES[1], CASES[2], CASES[4])
    if kind != "Labels":
        return
    assert all(np.isnan(dice[1]) for dice in log["dice_per_class_or_region"])  # the spleen
    said = Path(trainer.log_file).read_text()
    assert f"confidence: 1 of 4 training cases of weight 0, which are left out ({CASES[3]})" in said
    assert f"confidence: 1 of 4 training cases in which liver is not annotated ({CASES[1]})" in said
    assert f"confidence: 1 of 1 validation cases in which spleen is not annotated ({CASES[0]})" in said
    assert "confidence: the pseudo Dice leaves out classes where they are not annotated" in said


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize("trainer_class", [nnUNetTrainerConfidence, nnUNetTrainerGCE])
def test_a_class_that_is_not_annotated_is_neither_taught_nor_forbidden(trainer_class: type[SafeTraining]) -> None:
    """Where labels say background, moving logits between background and the class changes no loss of the labels."""
    torch.manual_seed(0)
    trainer = started(make(trainer_class))
    batch = next_batch(trainer)
    batch["keys"] = [CASES[1]] * len(batch["keys"])
    images, targets = trainer._on_device(batch)
    assert isinstance(targets, KnownTargets)
    assert not any((target == 1).any() for target in targets)
    outputs = [z.detach().requires_grad_() for z in trainer.network(images)]
    gradients = torch.autograd.grad(trainer._masked_loss()(outputs, targets), outputs, allow_unused=True)
    background = targets[0][:, 0] == 0
    probability = outputs[0].softmax(1)
    share = probability[:, 1] / (probability[:, 0] + probability[:, 1])
    by_both = gradients[0][:, 0] + gradients[0][:, 1]
    assert_close(gradients[0][:, 1][background], (share * by_both)[background], rtol=1e-3, atol=1e-7)
    assert by_both[background].abs().max() > 0


# --- the plain one, in every way that nnU-Net trains ------------------------------------------------------------------


def test_with_nothing_to_say_it_is_nnunets_trainer(nnunet: NnunetFolders, tmp_path: Path, monkeypatch) -> None:
    """Bit by bit where nothing is given; up to rounding with confidence 1 everywhere."""

    def trained(kind: type[nnUNetTrainer]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        torch.manual_seed(0)
        trainer = make_trainer(type("Seeded", (SeededEpochs, kind), {}), epochs=2)
        log = train(trainer)
        return weights_of(trainer), {
            key: log[key] for key in ("train_losses", "val_losses", "dice_per_class_or_region")
        }

    plain, nothing = trained(nnUNetTrainer), trained(nnUNetTrainerConfidence)
    assert all(torch.equal(weight, nothing[0][name]) for name, weight in plain[0].items())
    np.testing.assert_equal(nothing[1], plain[1])
    give_confidence(tmp_path / "preprocessed", monkeypatch, "case\n", lambda image: np.ones_like(image[:1]))
    weights, log = trained(nnUNetTrainerConfidence)
    for name, weight in plain[0].items():
        assert_close(weights[name], weight, rtol=1e-3, atol=1e-5, msg=name)
    np.testing.assert_allclose(log["train_losses"], plain[1]["train_losses"], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("given")
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_and_resumed(nnUNetTrainerConfidence, tmp_path, monkeypatch)


@pytest.mark.usefixtures("given")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_scaled_and_compiled_it_takes_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, scaled = (alike(nnUNetTrainerConfidence) for _ in range(2))
    scaled.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    compiled = alike(type("Compiling", (nnUNetTrainerConfidence,), {"_do_i_compile": lambda self: True}))
    half = alike(type("Autocast", (nnUNetTrainerConfidence,), {"_autocast": lambda self: torch.autocast("cpu")}))
    batch = next_batch(plain)
    losses = [float(trainer.train_step(batch)["loss"]) for trainer in (plain, scaled, compiled, half)]
    for trainer in (scaled, compiled):
        close({name.replace("._orig_mod.", "."): value for name, value in state_of(trainer).items()}, state_of(plain))
    assert losses[3] == pytest.approx(losses[0], rel=0.05)


def test_cascade(nnunet: NnunetFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The channels of the stage before stay the last of the network's input; the doubt comes after them."""
    use_threads(monkeypatch)
    give_confidence(tmp_path / "preprocessed", monkeypatch, CONFIDENCE, in_half, configuration="3d_lowres")
    low = make_trainer(nnUNetTrainerConfidence, configuration="3d_lowres", fold="all")
    train(low)
    low.perform_actual_validation()
    monkeypatch.setenv("nnUNet_preprocessed", str(nnunet.preprocessed))
    give_confidence(tmp_path / "again", monkeypatch, CONFIDENCE, in_half, configuration="3d_fullres")
    images, seen = first_of_cascade(make_trainer(nnUNetTrainerConfidence, configuration="3d_cascade_fullres"))
    assert images.shape[1] == 1 + 4 + 1
    assert set(images[:, 1:5].unique().tolist()) <= {0.0, 1.0}
    assert images[:, 5].max() == 0.75
    assert torch.equal(seen[0], images[:, :5])
    train(make_trainer(nnUNetTrainerConfidence, configuration="3d_cascade_fullres"))


# --- in detail --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("given")
def test_batches_say_what_is_known_of_them() -> None:
    trainer = started(make_trainer(nnUNetTrainerConfidence))
    drawn = {case for seed in range(12) for case in next_batch(trainer, seed)["keys"]}
    assert drawn == {CASES[1], CASES[2], CASES[4]}
    batch = next_batch(trainer)
    batch["keys"] = [CASES[1], CASES[2]]
    _, targets = trainer._on_device(batch)
    assert isinstance(targets, KnownTargets)
    assert targets.class_weight is not None
    assert targets.class_weight.tolist() == [[1, 0, 1, 1, 1], [0.5] * 5]
    assert targets.confidence is not None
    assert targets.confidence.min() == pytest.approx(0.25)
    assert targets.confidence.max() == 1
    batch["keys"] = [CASES[4], CASES[4]]
    assert trainer._on_device(batch)[1].class_weight is None
    assert trainer._not_sought(CASES[1]) == [1]


def test_regions_are_called_as_nnunets_oversampling_calls_them(nnunet: NnunetFolders, tmp_path, monkeypatch) -> None:
    give_confidence(tmp_path / "preprocessed", monkeypatch, REGIONS, None, "Regions")
    trainer = started(make_trainer(nnUNetTrainerConfidence, "Regions"))
    (missing,) = trainer._not_sought(CASES[1])
    plain, dataset = trainer.dataset_class(trainer.preprocessed_dataset_folder, [CASES[1]]), trainer.dataloader_train
    assert len(plain.load_case(CASES[1])[3]["class_locations"][missing]) > 0
    assert dataset.data_loader._data.load_case(CASES[1])[3]["class_locations"][missing] == []
    assert trainer._not_sought(CASES[4]) == []


def test_a_label_may_be_written_as_a_list_of_one(nnunet: NnunetFolders) -> None:
    labels = {"liver": [1], "background": 0, "spleen": 2, "kidney": [3], "lesion": [4]}
    names = make_trainer(nnUNetTrainerConfidence, labels={"labels": labels}).output_names
    assert names == ["background", "liver", "spleen", "kidney", "lesion"]


@pytest.mark.usefixtures("given")
def test_the_pseudo_dice_counts_what_is_annotated() -> None:
    """The sum over the samples, each without the classes that are not annotated in it."""
    trainer = started(make_trainer(nnUNetTrainerConfidence))
    plain = started(make_trainer(nnUNetTrainer))
    plain.network.load_state_dict(trainer.network.state_dict())
    trainer.network.eval()
    plain.network.eval()
    batch = next(plain.dataloader_val)
    with torch.no_grad():
        batch["keys"] = [CASES[1], CASES[4]]
        found = trainer.validation_step(doubted(clone(batch), 0.0))
        single = [plain.validation_step(clone(batch, slice(sample, sample + 1))) for sample in range(2)]
        whole = plain.validation_step(clone(batch))
        batch["keys"] = [CASES[4], CASES[4]]
        nothing_missing = trainer.validation_step(doubted(clone(batch), 0.0))
        outputs, targets = trainer.network(batch["data"]), [each.clone() for each in batch["target"]]
        half = trainer.validation_step(doubted(clone(batch), 0.5))["loss"]
        by_hand = trainer._masked_loss()(outputs, targets, None, torch.full_like(batch["data"][:, :1], 0.5))
    for key in ("tp_hard", "fp_hard", "fn_hard"):
        np.testing.assert_array_equal(found[key], single[0][key] * [0, 1, 1, 1] + single[1][key])
        np.testing.assert_array_equal(nothing_missing[key], whole[key])
    assert nothing_missing["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert half == pytest.approx(float(by_hand), rel=1e-5)
    assert half != pytest.approx(whole["loss"], rel=1e-3)
    assert found["loss"] < whole["loss"]
    assert trainer.loss is not None
    assert type(trainer.loss) is type(plain.loss)


@pytest.mark.usefixtures("given")
def test_an_epoch_that_counts_no_class_does_not_end_the_choice_of_the_best() -> None:
    trainer = started(make_trainer(nnUNetTrainerConfidence))
    found = trainer.validation_step(next(trainer.dataloader_val))
    nothing = {**found, **{key: 0 * found[key] for key in ("tp_hard", "fp_hard", "fn_hard")}}
    moving = trainer.epochs_of("ema_fg_dice")
    with np.errstate(invalid="ignore"), pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        trainer.on_validation_epoch_end([nothing])
    trainer.current_epoch = 1
    trainer.on_validation_epoch_end([found])
    assert moving[0] == 0
    assert moving[1] == pytest.approx(0.1 * trainer.epochs_of("mean_fg_dice")[1])


@pytest.mark.usefixtures("given")
def test_the_validation_s_images_have_the_doubt_too() -> None:
    trainer = started(make_trainer(nnUNetTrainerConfidence))
    assert next(trainer.dataloader_val)["data"].shape[1] == next_batch(trainer)["data"].shape[1] == 2


def clone(batch: dict[str, Any], samples: slice = slice(None)) -> dict[str, Any]:
    """Samples of a batch, of which nnU-Net's validation changes the target."""
    return {
        "data": batch["data"][samples],
        "target": [each[samples].clone() for each in batch["target"]],
        "keys": batch["keys"][samples],
    }


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize("trainer_class", [nnUNetTrainerDALE, nnUNetTrainerCaseTrust])
def test_doubted_voxels_weigh_less(trainer_class: type[SafeTraining]) -> None:
    """In the whole batches too: the loss of a step is that of the masked loss, weighted by c."""
    trainer = started(make(trainer_class, iterations=8))
    batch = next_batch(trainer)
    images, targets = trainer._on_device(batch)
    assert isinstance(targets, KnownTargets)
    with torch.no_grad():
        unweighted = KnownTargets(targets, None, targets.class_weight)
        by_hand = trainer._masked_loss()(trainer.network(images), unweighted, None, targets.confidence)
    assert trainer.train_step(batch)["loss"] == pytest.approx(float(by_hand), rel=1e-4)


def test_what_is_not_preprocessed_is_refused_with_the_command(nnunet: NnunetFolders, tmp_path, monkeypatch) -> None:
    raw = tmp_path / "raw" / DATASETS["Labels"]
    raw.mkdir(parents=True)
    (raw / "confidence.csv").write_text(CONFIDENCE)
    monkeypatch.setenv("nnUNet_raw", str(raw.parent))
    with pytest.raises(UserError, match="run: nnUNetv2_dale_confidence preprocess -d 901"):
        make_trainer(nnUNetTrainerConfidence).run_training()
    assert log_of(make_trainer(nnUNetTrainer)) is not None


def test_a_fold_without_a_case_that_counts_is_refused(nnunet: NnunetFolders, tmp_path: Path, monkeypatch) -> None:
    give_confidence(tmp_path / "preprocessed", monkeypatch, f"case,weight\n{CASES[0]},0\n")
    with pytest.raises(RuntimeError, match="gives every validation case of fold 0 the weight 0"):
        make_trainer(nnUNetTrainerConfidence).run_training()
