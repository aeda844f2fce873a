"""A preprocessed dataset of phantoms, some of which have no labels, and short DK-UXNet trainings on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.demo.anatomy import LABELS
from nnunetv2_dale.demo.phantom import write_phantom_dataset
from tests.tiny_plans import SHAPE, SPACING_MM
from tests.trainer.fixtures import NnunetFolders, preprocess

DATASET, IGNORE = "Dataset911_Unlabelled", 5
CASES = [f"phantom_{number:03d}" for number in range(5)]
WITHOUT_LABELS = {CASES[1], CASES[3]}
# fold k validates case k, so that fold 1 validates a case without labels
TINY_NETWORK = {
    "width": 4,
    "stages": 2,
    "blocks": 1,
    "query_count": 10,
    "query_channels": 8,
    "attention_heads": 2,
    "feed_forward_channels": 8,
}


@pytest.fixture
def unlabelled(nnunet: NnunetFolders) -> NnunetFolders:
    """nnU-Net's environment with the dataset in it, made once per test run."""
    if not (nnunet.preprocessed / DATASET).exists():
        raw = write_phantom_dataset(
            nnunet.raw,
            dataset_id=911,
            name="Unlabelled",
            training_cases=len(CASES),
            test_cases=0,
            shape=SHAPE,
            spacing_mm=SPACING_MM,
        )
        assert {path.name.split(".")[0] for path in (raw / "labelsTr").iterdir()} == set(CASES)
        for case in WITHOUT_LABELS:
            all_ignored(raw / "labelsTr" / f"{case}.nii.gz")
        _with_ignore_label(raw / "dataset.json")
        preprocess(nnunet, DATASET, ("2d", "3d_fullres", "3d_lowres"))
    return nnunet


def all_ignored(path: Path) -> None:
    """Replace a label map by one of ignore label."""
    image = SimpleITK.ReadImage(str(path))
    changed = SimpleITK.GetImageFromArray(np.full_like(SimpleITK.GetArrayFromImage(image), IGNORE))
    changed.CopyInformation(image)
    SimpleITK.WriteImage(changed, str(path), useCompression=True)


def make_trainer(
    trainer_class: type[nnUNetTrainer],
    *,
    configuration: str = "3d_fullres",
    fold: int | str = 0,
    settings: dict[str, Any] | None = None,
    plans_settings: dict[str, Any] | None = None,
    labels: dict[str, Any] | None = None,
    epochs: int | None = 1,
    iterations: int = 2,
    resume: bool = False,
) -> nnUNetTrainer:
    """A trainer as `nnUNetv2_train` makes it, with a tiny network.

    Args:
        settings: of the plans' "dk_uxnet" object, beside those of the tiny network.
        plans_settings: of the configuration.
        labels: what dataset.json has instead of its labels.
        epochs: None leaves what the class sets.
    """
    folder = Path(nnUNet_preprocessed) / DATASET
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    own = {"dk_uxnet": {**TINY_NETWORK, **(settings or {})}, **(plans_settings or {})}
    plans["configurations"].get(configuration, {}).update(own)
    plans["continue_training"] = resume
    dataset_json = {**json.loads((folder / "dataset.json").read_text()), **(labels or {})}
    trainer = trainer_class(plans, configuration, fold, dataset_json, torch.device("cpu"))
    trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = iterations, 1
    if epochs is not None:
        trainer.num_epochs = epochs
    return trainer


def _with_ignore_label(path: Path) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "labels": {**LABELS, "ignore": IGNORE}}))
