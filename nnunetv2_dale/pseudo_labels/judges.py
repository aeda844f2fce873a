"""The networks of trained folds: each says a probability of every class, with nnU-Net's own prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset
from nnunetv2_dale.nnunet_files.results.class_keys import keys_of_names
from nnunetv2_dale.nnunet_files.results.result_folder import ResultFolder
from nnunetv2_dale.nnunet_files.results.same_task import read_result_folders
from nnunetv2_dale.nnunet_files.trained_model import read_trained_model

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Judges:
    """The folds of a result folder."""

    folder: ResultFolder  # what their validation left
    predictor: Any  # nnU-Net's, which holds the weights of the folds
    weights: Mapping[str, Any]  # fold → its network's

    def say(self, fold: str, image: Floats, properties: dict[str, Any]) -> Floats:
        """The probabilities (K, Z, Y, X) of a fold for an image (C, Z, Y, X)."""
        self.predictor.list_of_parameters = [self.weights[fold]]
        _, probabilities = self.predictor.predict_single_npy_array(image, properties, None, None, True)
        return np.asarray(probabilities, np.float32)


def read_judges(
    paths: Sequence[Path],
    dataset: RawDataset,
    folds: Sequence[str] | None,
    checkpoint: str,
    device: str,
    mirroring: bool,
) -> list[Judges]:
    """Load the folds of result folders.

    Raises:
        UserError: fold `all` alone, other classes than the dataset's, regions, a cascade, a file that is missing.
    """
    if any(len(value) > 1 for value in dataset.dataset_json["labels"].values() if isinstance(value, list)):
        raise UserError(f"{dataset.folder} has regions; pseudo-labels need labels that exclude each other")
    folders = read_result_folders(paths, folds, dataset.folder / "labelsTr")
    return [_judges_of(folder, dataset, checkpoint, torch.device(device), mirroring) for folder in folders]


def _judges_of(
    folder: ResultFolder, dataset: RawDataset, checkpoint: str, device: torch.device, mirroring: bool
) -> Judges:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    if not all(fold.isdigit() for fold in folder.folds):
        raise UserError(
            f"{folder.path} has no fold that held cases out (found {', '.join(folder.folds)}), so nothing shows what "
            "its network is worth; train folds 0 to 4"
        )
    theirs, mine = (keys_of_names(each["labels"]) for each in (folder.dataset_json, dataset.dataset_json))
    if theirs != mine:
        raise UserError(
            f"{folder.path / 'dataset.json'} has the classes {', '.join(theirs)}, but {dataset.folder} has "
            f"{', '.join(mine)}; give the dataset that the networks were trained on"
        )
    model = read_trained_model(folder.path, folder.folds, [checkpoint])
    if model.plans["configurations"][model.configuration].get("previous_stage"):
        raise UserError(f"{folder.path} is a cascade's second stage; give the result folder of another configuration")
    on_gpu = device.type == "cuda"
    predictor = nnUNetPredictor(
        use_mirroring=mirroring, perform_everything_on_device=on_gpu, device=device, allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(folder.path), folder.folds, checkpoint)
    predictor.network.to(device)
    return Judges(folder, predictor, dict(zip(folder.folds, predictor.list_of_parameters, strict=True)))
