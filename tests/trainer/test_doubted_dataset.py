"""A map that is a function of the image still is one after nnU-Net's loading and augmentation."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import blosc2
import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from numpy.typing import NDArray

from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.nnunet_files.preprocessed_confidence import READER_LABELS
from nnunetv2_dale.trainer.case_memory import label_checksums
from nnunetv2_dale.trainer.confidence import nnUNetTrainerConfidence
from nnunetv2_dale.trainer.doubted_dataset import DoubtedDataset, DoubtMovesAlong, WithDoubt
from tests.datasets import CASES, NnunetFolders
from tests.trainer.fixtures import TINY_TRAININGS, give_confidence, make_trainer, next_batch, started

pytestmark = TINY_TRAININGS
CUBE = {"patch_size": [8, 16, 16]}  # 32 in-plane makes nnU-Net rotate slices alone


class OnlySpatial(nnUNetTrainerConfidence):
    """Images without noise and contrast, so that the map can be told from the image; each is rotated and scaled."""

    def get_training_transforms(self, *arguments: Any, **named: Any) -> Any:
        transforms = super().get_training_transforms(*arguments, **named)
        inside = transforms.transforms if isinstance(transforms, DoubtMovesAlong) else transforms
        for each in inside.transforms:
            if isinstance(each, RandomTransform) and isinstance(each.transform, ImageOnlyTransform):
                each.apply_probability = 0
            if isinstance(each, SpatialTransform):
                each.p_rotation = each.p_scaling = 1
        return transforms


@pytest.mark.parametrize(
    ("configuration", "settings", "dummy_2d"),
    [("2d", {}, False), ("3d_fullres", CUBE, False), ("3d_fullres", {}, True)],
    ids=["2d", "3d", "dummy 2d"],
)
def test_after_augmentation_the_map_is_what_it_was_of_the_image(
    configuration: str,
    settings: dict[str, Any],
    dummy_2d: bool,
    nnunet: NnunetFolders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of images in [0, 1] the doubt is the image itself: with every crop, padding, rotation, zoom and mirroring."""
    given = give_confidence(tmp_path, monkeypatch, "case\n", configuration=configuration)
    for case in CASES:
        file = given.parent / f"nnUNetPlans_{configuration}" / f"{case}.b2nd"
        image = np.random.default_rng(0).random(blosc2.open(str(file), mode="r").shape, dtype=np.float32)
        file.unlink()
        blosc2.asarray(image, urlpath=str(file))
        blosc2.asarray(1 - image, urlpath=str(given / file.name))
    trainer = make_trainer(OnlySpatial, configuration=configuration, settings=settings)
    trainer.initialize()
    assert trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()[1] is dummy_2d
    started(trainer)
    for seed in range(6):
        batch = next_batch(trainer, seed)
        image, doubt = batch["data"][:, :1], batch["data"][:, 1:]
        torch.testing.assert_close(doubt, image, rtol=0, atol=1e-5)
        assert image.std() > 0.1
        images, targets = trainer._on_device(batch)
        assert torch.equal(images, image)
        assert isinstance(targets, KnownTargets)
        assert targets.confidence is not None
        torch.testing.assert_close(targets.confidence, 1 - image, rtol=0, atol=1e-5)


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_images_and_targets_are_those_without_a_map(configuration: str, nnunet, tmp_path, monkeypatch) -> None:
    """Bit by bit, with all of nnU-Net's augmentation and the same random draws."""
    plain = started(make_trainer(nnUNetTrainer, configuration=configuration))
    expected = [next_batch(plain, seed) for seed in range(4)]
    give_confidence(
        tmp_path, monkeypatch, "case\n", lambda image: (image[:1] > 0).astype(np.float32), configuration=configuration
    )
    trainer = started(make_trainer(nnUNetTrainerConfidence, configuration=configuration))
    for seed, batch in enumerate(expected):
        found = next_batch(trainer, seed)
        assert torch.equal(found["data"][:, :-1], batch["data"])
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(found["target"], batch["target"], strict=True))
        assert 0 <= found["data"][:, -1].min() < found["data"][:, -1].max() <= 1


def test_without_maps_the_loader_is_nnunets_own(nnunet: NnunetFolders) -> None:
    trainer = started(make_trainer(nnUNetTrainerConfidence))
    loader = trainer.dataloader_train.data_loader
    assert type(loader.transforms) is ComposeTransforms
    assert type(loader._data) is nnUNetDatasetBlosc2


def test_a_crop_reads_no_more_than_a_crop() -> None:
    """A case without a map has doubt 0 among cases with one."""
    image, confidence = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.full((1, 3, 2, 2), 0.25)
    both = WithDoubt(Parts(image), Parts(confidence))
    assert both.shape == (3, 3, 2, 2)
    crop = both[slice(None), 1:2]
    np.testing.assert_array_equal(crop, np.concatenate([image[:, 1:2], np.full((1, 1, 2, 2), 0.75)]))
    assert crop.dtype == np.float32
    np.testing.assert_array_equal(WithDoubt(Parts(image), None)[slice(None), 1:2][2], np.zeros((1, 2, 2)))


class Parts:
    """An array of which whole axes but the first are never asked for."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape = array, array.shape

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        assert index[1] == slice(1, 2)
        part: NDArray[Any] = self.array[index]
        return part


def test_it_travels_to_processes_that_are_not_forked(nnunet: NnunetFolders, tmp_path: Path, monkeypatch) -> None:
    give_confidence(tmp_path, monkeypatch, "case\n", lambda image: np.zeros_like(image[:1]))
    trainer = started(make_trainer(nnUNetTrainerConfidence))
    for augmenter in (trainer.dataloader_train, trainer.dataloader_val):
        loader = pickle.loads(pickle.dumps(augmenter.data_loader))
        image, *_ = loader._data.load_case(loader._data.identifiers[0])
        assert np.asarray(image[:, :1, :1, :1])[-1] == 1


def test_oversampling_does_not_look_for_a_class_where_it_is_not_annotated() -> None:
    places = {1: [[0, 0, 0, 0]], 2: [[0, 1, 1, 1]], (-1, 0, 1, 2): [[0, 0, 0, 1]]}
    plain = SimpleNamespace(
        identifiers=["b", "a"], load_case=lambda case: (case, "label", None, {"class_locations": places})
    )
    dataset = DoubtedDataset(plain, None, {"a": [2]})
    image, label, _, properties = dataset.load_case("a")
    assert (image, label) == ("a", "label")
    assert properties["class_locations"] == {**places, 2: []}
    assert dataset.load_case("b")[3]["class_locations"] == places
    assert places[2]


def test_each_visit_draws_a_reader(nnunet: NnunetFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All readers have their turn; the memory of cases goes by the label that nnU-Net has."""
    given = give_confidence(tmp_path, monkeypatch, "case\n")
    plain = nnUNetDatasetBlosc2(str(given.parent / "nnUNetPlans_2d"), list(CASES))
    own = np.asarray(plain.load_case(CASES[1])[1][:])
    for number, reader in enumerate(("anna", "ben")):
        (given / READER_LABELS / reader).mkdir(parents=True)
        file = given / READER_LABELS / reader / f"{CASES[1]}.b2nd"
        blosc2.asarray(np.full_like(own, number), urlpath=str(file))
    trainer = started(make_trainer(nnUNetTrainerConfidence))
    dataset = trainer.dataloader_train.data_loader._data
    drawn = {int(np.asarray(dataset.load_case(CASES[1])[1][:]).max()) for _ in range(20)}
    assert drawn == {0, 1}
    np.testing.assert_array_equal(np.asarray(dataset.load_case(CASES[2])[1][:]), plain.load_case(CASES[2])[1][:])
    assert label_checksums(dataset, CASES[1:]) == label_checksums(plain, CASES[1:])
    assert next_batch(trainer)["data"].shape[1] == 1
    said = Path(trainer.log_file).read_text()
    assert f"1 of 4 training cases with labels of several readers ({CASES[1]})" in said
    assert "not annotated" not in said
