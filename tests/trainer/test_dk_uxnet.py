"""DK-UXNet as an nnU-Net trainer: real preprocessing, real loaders, short trainings on the CPU."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.with_unlabelled import NUMBERS
from tests.datasets import CASES, IGNORE, WITHOUT_LABELS
from tests.run_commands import use_threads
from tests.trainer.fixtures import (
    TINY_TRAININGS,
    first_of_cascade,
    log_of,
    make_unlabelled,
    next_batch,
    started,
    train,
    weights_of,
)

pytestmark = TINY_TRAININGS

OWN_KEYS = set(nnUNetTrainerDKUXNet.log_keys)
made = partial(make_unlabelled, nnUNetTrainerDKUXNet)


def batch_of(trainer: nnUNetTrainer, *cases: str) -> dict[str, Any]:
    """A batch of these cases, as nnU-Net's loader makes it."""
    loader = trainer.dataloader_train.data_loader
    loader.get_indices = lambda: list(cases)
    try:
        batch: dict[str, Any] = next_batch(trainer)
    finally:
        del loader.get_indices
    return batch


# --- which samples are supervised -------------------------------------------------------------------------------------


def test_nnunets_oversampling_of_foreground_survives_cases_without_any() -> None:
    """nnU-Net's own preprocessing leaves such a case without class locations; its loader then crops at random."""
    trainer = started(made())
    loader: nnUNetDataLoader = trainer.dataloader_train.data_loader
    locations = loader._data.load_case(CASES[1])[3]["class_locations"]
    assert locations
    assert not any(len(places) for places in locations.values())
    loader.oversample_foreground_percent = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = batch_of(trainer, CASES[1], CASES[2])
        corners = {tuple(loader.get_bbox(np.array([8, 40, 40]), True, locations)[0]) for _ in range(50)}
    assert batch["target"][1].eq(IGNORE).sum() == 0
    assert batch["target"][0].eq(IGNORE).float().mean() > 0.3  # beyond the image's edge nnU-Net has background
    assert len(corners) > 10


def test_a_labelled_case_stays_labelled_whatever_the_order_and_the_crop() -> None:
    """Whether a sample is supervised follows from its case: not from its place, and not from what its crop shows."""
    trainer = started(made())
    batch = batch_of(trainer, CASES[1], CASES[2])
    swapped = {**batch, **{name: batch[name].flip(0) for name in ("data", "target")}, "keys": batch["keys"][::-1]}
    seen = supervised_of(trainer)
    for each in (batch, swapped):
        trainer.train_step(each)
    # two views of two samples, and two supervised losses, of each batch
    assert [flags.tolist() for flags in seen] == [[False, True] * 2] * 2 + [[True, False] * 2] * 2

    batch["target"][1] = IGNORE  # the crop of the labelled case shows no label
    batch["target"][0] = 0  # that of the unlabelled one lies beyond the image's edge
    trainer.train_step(batch)
    assert [flags.tolist() for flags in seen[-2:]] == [[False, True] * 2] * 2


def supervised_of(trainer: nnUNetTrainer) -> list[torch.Tensor]:
    """A list that collects which samples are supervised from now on."""
    seen: list[torch.Tensor] = []
    original = trainer._supervised

    def noted(logits: list[torch.Tensor], labels: list[torch.Tensor], labelled: torch.Tensor) -> torch.Tensor:
        assert labels[0][~labelled].eq(IGNORE).all()
        seen.append(labelled)
        return original(logits, labels, labelled)

    trainer._supervised = noted
    return seen


def test_half_of_the_samples_are_labelled_however_few_such_cases_there_are() -> None:
    trainer = started(made(fold=0, settings={"labelled_share": 0.25}))
    loader = trainer.dataloader_train.data_loader
    np.random.seed(0)
    drawn = [case for _ in range(500) for case in loader.get_indices()]
    assert np.mean([case not in WITHOUT_LABELS for case in drawn]) == pytest.approx(0.25, abs=0.04)


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_dice", [False, True])
def test_trains(batch_dice: bool) -> None:
    """What every trainer has to show is in `test_every_trainer.py`."""
    trainer = made(epochs=2, plans={"batch_dice": batch_dice}, settings={"learning_rate": 1e-4})
    log = train(trainer)
    assert all(np.isfinite(log[key]).all() for key in OWN_KEYS | {"train_losses", "val_losses"})
    assert all(0 < value <= 1 for value in log["dk_uxnet_queries_used"])
    assert isinstance(trainer.optimizer, torch.optim.AdamW)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(1e-4 * 0.5**0.9)  # nnU-Net's schedule, of a setting


def test_learns_from_a_labelled_and_an_unlabelled_case() -> None:
    """Twenty steps on one batch: supervision and the queries' agreement fall; both views' segmentations are alike."""
    trainer = started(made(settings={f"agreement_{name}": 1.0 for name in ("first", "second", "third", "last")}))
    trainer.scheduled_lr = 3e-3
    batch = batch_of(trainer, CASES[1], CASES[2])
    records = [trainer.train_step(batch)["dk_uxnet"] for _ in range(20)]
    names = list(NUMBERS)
    for name in ("convolution", "query", "groups", "layers", "query_agreement"):
        assert records[-1][names.index(name)] < records[0][names.index(name)], name
    assert records[-1][names.index("segmentation_agreement")] < 0.1


def test_the_supervised_loss_is_nnunets_of_the_labelled_samples_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, 4, 8, 8, generator=generator)
    labels = torch.randint(0, 5, (4, 1, 4, 8, 8), generator=generator)
    labelled = torch.tensor([True, False, True, False])
    hidden = torch.where(labelled.view(-1, 1, 1, 1, 1), labels, IGNORE)
    for batch_dice in (False, True):
        trainer = made(plans={"batch_dice": batch_dice})
        trainer.initialize()
        expected = trainer.loss(logits[labelled], labels[labelled])
        torch.testing.assert_close(trainer._supervised([logits], [hidden], labelled), expected)


def test_a_fold_that_validates_no_labelled_case_trains_and_says_so() -> None:
    trainer = made(fold=1)
    log = train(trainer)
    assert np.isnan(log["mean_fg_dice"]).all()
    assert "No validation case has labels" in Path(trainer.log_file).read_text()


def test_cases_without_labels_are_left_out_of_the_pseudo_dice() -> None:
    trainer = started(made(fold="all"))
    assert set(trainer.dataloader_val.data_loader._data.identifiers) == set(CASES) - WITHOUT_LABELS


def test_the_learning_rate_rises_to_the_scheduled_one() -> None:
    """In the first half of the training here: eight batches."""
    trainer = made(epochs=4, iterations=4, settings={"warm_up_share": 0.5})
    trainer.initialize()
    rates = []
    for trainer.current_epoch in range(4):
        trainer.generator = torch.Generator()
        trainer.on_train_epoch_start()
        for _ in range(4):
            trainer._warm_up()
            rates.append(trainer.optimizer.param_groups[0]["lr"])
    scheduled = [1e-3 * (1 - batch // 4 / 4) ** 0.9 for batch in range(16)]
    assert rates == pytest.approx([rate * min(1, (batch + 1) / 8) for batch, rate in enumerate(scheduled)])


# --- prediction and the cascade ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
def test_a_trained_model_predicts_by_sliding_window() -> None:
    trainer = made()
    train(trainer)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,), "checkpoint_final.pth")
    assert type(predictor.network).__name__ == "DkUxnet"
    image = torch.randn(1, 10, 50, 37)
    logits = predictor.predict_logits_from_preprocessed_data(image)
    assert logits.shape == (5, 10, 50, 37)
    assert logits.isfinite().all()
    expected = weights_of(trainer)
    assert all(torch.equal(weight, expected[name]) for name, weight in predictor.network.state_dict().items())


def test_prediction_averages_no_head_that_has_not_learned() -> None:
    """By the pseudo Dice of each head, which the log has; the share lies in the checkpoint's weights."""
    trainer = started(made())
    trainer.network.eval()
    batch = next(trainer.dataloader_val)
    target = batch["target"].clone()
    heads = trainer.validation_step(batch)["heads"]
    assert torch.equal(batch["target"], target)
    assert heads.shape == (2, 3, 4)  # of both heads: true and false positives, false negatives of four classes
    assert trainer.network.query_share == 0

    found, nothing = np.full((3, 4), [[8.0], [2.0], [2.0]]), np.full((3, 4), [[0.0], [0.0], [10.0]])
    for query, share in ((nothing, 0.0), (found, 0.5)):
        output = {"loss": np.float32(1), "tp_hard": found[0], "fp_hard": found[1], "fn_hard": found[2]}
        trainer.on_validation_epoch_end([{**output, "heads": np.stack([found, query])}])
        assert trainer.network.query_share == share
    assert log_of(trainer)["dk_uxnet_convolution_dice"] == [pytest.approx(0.8)]
    assert log_of(trainer)["dk_uxnet_query_dice"] == [pytest.approx(0.8)]


def test_a_head_by_itself_is_measured_as_nnunet_measures_a_prediction() -> None:
    trainer = started(made())
    trainer.network.eval()
    batch = next(trainer.dataloader_val)
    heads = trainer.validation_step(batch)["heads"]
    for place, share in enumerate((0.0, 1.0)):
        trainer.network.query_share.fill_(share)
        alone = nnUNetTrainer.validation_step(trainer, {**batch, "target": batch["target"].clone()})
        np.testing.assert_array_equal(heads[place], [alone[f"{name}_hard"] for name in ("tp", "fp", "fn")])


def test_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one-hot channels of the stage before are the same in both views."""
    use_threads(monkeypatch)
    low = made(configuration="3d_lowres", fold="all")
    images, seen = first_of_cascade(made(configuration="3d_cascade_fullres"), low)
    weak, strong = seen[0].chunk(2)
    assert torch.equal(weak, images)
    assert torch.equal(strong[:, 1:], weak[:, 1:])
    assert not torch.isclose(strong[:, :1], weak[:, :1]).all()


class FewQueries(nnUNetTrainerDKUXNet):
    """An ablation, as users write them."""

    dk_uxnet = replace(nnUNetTrainerDKUXNet.dk_uxnet, query_layers=1)


def test_an_ablation_builds_the_network_of_its_own_settings() -> None:
    trainer = make_unlabelled(FewQueries)
    trainer.initialize()
    assert len(trainer.network.queries.query_layers) == 2


# --- refused ----------------------------------------------------------------------------------------------------------


def test_a_2d_configuration_is_refused() -> None:
    sentence = "cannot train configuration '2d', which has 2 axes; choose a 3d configuration"
    with pytest.raises(RuntimeError, match=sentence):
        made(configuration="2d")
