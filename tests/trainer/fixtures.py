"""Tiny preprocessed datasets and short trainings of nnU-Net trainers, in process and in seconds.

The cases are phantoms. Plans are written by hand, since nnU-Net's planner takes seconds (`test_commands.py` runs it);
preprocessing is nnU-Net's own function for one case, without its worker processes.
"""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import SimpleITK
import torch
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_dale.demo.anatomy import LABELS
from nnunetv2_dale.demo.phantom import write_phantom_dataset
from tests.tiny_plans import SHAPE, SPACING_MM, tiny_plans

CASES = 5
REGIONS: dict[str, Any] = {"background": 0, "body": [1, 2, 3, 4], "lesion": [4]}
IGNORE = 5
LABEL_KINDS: dict[str, dict[str, Any]] = {
    "Labels": {"labels": LABELS},
    "Regions": {"labels": REGIONS, "regions_class_order": [1, 4]},
    "Ignore": {"labels": {**LABELS, "ignore": IGNORE}},
    "RegionsIgnore": {"labels": {**REGIONS, "ignore": IGNORE}, "regions_class_order": [1, 4]},
}


@dataclass(frozen=True)
class NnunetFolders:
    """Where nnU-Net's three folders are; `environment` is what nnU-Net reads them from."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def preprocessed(self) -> Path:
        return self.root / "preprocessed"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.root / "results"),
            "nnUNet_n_proc_DA": "0",
            "nnUNet_def_n_proc": "1",
        }


def write_datasets(folders: NnunetFolders) -> None:
    """Raw and preprocessed datasets of every kind of label; 3D configurations of label maps only."""
    first = write_phantom_dataset(
        folders.raw,
        dataset_id=901,
        name="Labels",
        training_cases=CASES,
        test_cases=0,
        shape=SHAPE,
        spacing_mm=SPACING_MM,
    )
    for number, (kind, labels) in enumerate(LABEL_KINDS.items(), start=901):
        dataset = folders.raw / f"Dataset{number}_{kind}"
        if dataset != first:
            shutil.copytree(first, dataset)
        if "ignore" in labels["labels"]:
            _ignore_outer_slices(dataset / "labelsTr")
        dataset_json = {**json.loads((dataset / "dataset.json").read_text()), **labels}
        (dataset / "dataset.json").write_text(json.dumps(dataset_json))
        names = ("2d", "3d_fullres", "3d_lowres") if kind == "Labels" else ("2d",)
        preprocess(folders, dataset.name, names)


def preprocess(folders: NnunetFolders, dataset_name: str, configurations: tuple[str, ...]) -> None:
    """What `nnUNetv2_plan_and_preprocess` leaves behind, with `tiny_plans`."""
    raw, target = folders.raw / dataset_name, folders.preprocessed / dataset_name
    target.mkdir(parents=True)
    dataset_json, plans = json.loads((raw / "dataset.json").read_text()), tiny_plans(dataset_name)
    shutil.copy(raw / "dataset.json", target)
    shutil.copytree(raw / "labelsTr", target / "gt_segmentations")
    cases = get_filenames_of_train_images_and_targets(str(raw), dataset_json)
    splits = [{"train": [other for other in cases if other != case], "val": [case]} for case in cases]
    documents = {"nnUNetPlans": plans, "dataset_fingerprint": {}, "splits_final": splits}
    for name, document in documents.items():
        (target / f"{name}.json").write_text(json.dumps(document))
    manager = PlansManager(plans)
    for name in configurations:
        configuration = manager.get_configuration(name)
        folder = target / configuration.data_identifier
        folder.mkdir()
        for case, files in cases.items():
            DefaultPreprocessor(verbose=False).run_case_save(
                str(folder / case), files["images"], files["label"], manager, configuration, dataset_json
            )


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
) -> nnUNetTrainer:
    """A trainer as `nnUNetv2_train` makes it, for a training of a few iterations.

    Args:
        kind: a key of `LABEL_KINDS`.
        settings: changes to the configuration's part of the plans.
        epochs: None leaves what the class sets.
    """
    number = 901 + list(LABEL_KINDS).index(kind)
    folder = Path(nnUNet_preprocessed) / f"Dataset{number}_{kind}"
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    plans["configurations"].get(configuration, {}).update(copy.deepcopy(settings or {}))
    plans["continue_training"] = resume
    dataset_json = json.loads((folder / "dataset.json").read_text())
    trainer = trainer_class(plans, configuration, fold, dataset_json, torch.device(device))
    trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = iterations, 1
    if epochs is not None:
        trainer.num_epochs = epochs
    return trainer


def _ignore_outer_slices(labels: Path) -> None:
    """Sparse annotation: the first and last two slices of every case have the ignore label."""
    for path in labels.glob("*.nii.gz"):
        image = SimpleITK.ReadImage(str(path))
        array = SimpleITK.GetArrayFromImage(image)
        array[[0, 1, -2, -1]] = IGNORE
        changed = SimpleITK.GetImageFromArray(array.astype(np.uint8))
        changed.CopyInformation(image)
        SimpleITK.WriteImage(changed, str(path), useCompression=True)


@pytest.fixture
def nnunet(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NnunetFolders:
    """nnU-Net's environment: datasets made once per test run, and results of this test alone."""
    folders = NnunetFolders(tmp_path_factory.getbasetemp() / "nnunet")
    for name, value in {**folders.environment, "nnUNet_results": str(tmp_path / "results")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(matplotlib.rcParams, "figure.dpi", 10)  # progress.png has 30 x 54 inches: a second each
    np.random.seed(0)  # nnU-Net's data loaders draw from the global state
    if not folders.root.exists():
        write_datasets(folders)
    return folders


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
    "dale_share",
    "dale_plain_iterations",
    "dale_non_fuzzy_loss",
    "dale_fuzzy_loss",
    "dale_alignment",
    "dale_alignment_share",
    "dale_confidence_mean",
    "dale_confidence_std",
    "dale_meta_mean",
    "dale_meta_std",
    "dale_case_mean",
    "dale_case_std",
    "dale_fuzzy_fraction",
    "dale_noisy_fraction",
    "dale_non_finite",
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
