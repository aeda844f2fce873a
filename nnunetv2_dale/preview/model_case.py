"""A trained nnU-Net model and a patch of a case as it is trained on, for the pictures of features and ω."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.dale.feature_tap import segmentation_head
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.masks.boxes import box_of
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase
from nnunetv2_dale.nnunet_files.trained_model import read_trained_model
from nnunetv2_dale.nnunet_files.volumes import label_values, read_image, read_label, reader_of
from nnunetv2_dale.pages.case_fuzziness import case_fuzziness
from nnunetv2_dale.pages.slice_display import slices_that_matter


@dataclass(frozen=True)
class LoadedModel:
    """A network with the weights of one fold, and nnU-Net's managers of its plans, configuration and labels."""

    network: nn.Module
    plans: Any
    configuration: Any
    labels: Any
    dataset: dict[str, Any]
    description: str  # dataset, trainer, plans, configuration, fold and checkpoint

    @property
    def spacing_mm(self) -> list[float]:
        """Of the network's axes, 2 or 3."""
        return [float(value) for value in self.configuration.spacing]

    @property
    def num_classes(self) -> int:
        """Of the alignment: of the label map, or regions and what none of them covers."""
        return int(self.labels.num_segmentation_heads) + int(self.labels.has_regions)

    def loss(self) -> MaskedLoss:
        """Build nnU-Net's loss for these labels at the full resolution."""
        regions, ignore = self.labels.has_regions, self.labels.ignore_label
        return MaskedLoss(
            regions=regions,
            ignore_label=None if regions else ignore,
            ignore_channel=regions and ignore is not None,
            batch_dice=self.configuration.batch_dice,
        )

    def target(self, label_map: Tensor) -> Tensor:
        """Bring a (B, 1, *S) label map into the loss's form: itself, or regions and the channel of ignored voxels."""
        if not self.labels.has_regions:
            return label_map
        values = [torch.tensor(np.atleast_1d(region).tolist()) for region in self.labels.foreground_regions]
        channels = [torch.isin(label_map, each) for each in values]
        if self.labels.ignore_label is not None:
            channels.append(label_map == self.labels.ignore_label)
        return torch.cat(channels, dim=1).float()


@dataclass(frozen=True)
class CasePatch:
    """What the network is given of a case."""

    images: Tensor  # (B, C, *P): a volume, or slices of one
    label_map: Tensor  # (B, 1, *P) int16


def load_model(folder: Path, fold: str | None, checkpoint: str) -> LoadedModel:
    """Build and fill a network the way nnU-Net's prediction does, from a folder TRAINER__PLANS__CONFIGURATION.

    Raises:
        UserError: no such model, an unknown trainer, a cascade's second stage, or a network without nnU-Net's head.
    """
    model = read_trained_model(folder, None if fold is None else [fold], [checkpoint])
    if model.plans["configurations"][model.configuration].get("previous_stage"):
        raise UserError(
            f"{folder} is the second stage of a cascade, whose input holds the first stage's prediction; give a model "
            "without a stage before, such as that of 3d_fullres"
        )
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    try:
        # it says that it has no GPU and which folders it searches, and imports trainers whose libraries warn
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
            predictor.initialize_from_trained_model_folder(str(folder), (model.folds[0],), checkpoint)
    except RuntimeError as error:
        raise UserError(f"{folder} could not be loaded: {' '.join(str(error).split())[:300]}") from error
    try:
        segmentation_head(predictor.network)
    except ValueError as error:
        raise UserError(
            f"{folder} cannot be shown: {type(predictor.network).__name__}, the network of {model.trainer_name}, has "
            "no decoder.seg_layers, before which the features are read; give a model with a network of nnU-Net's, or "
            "leave out --model to see the images and labels"
        ) from error
    predictor.network.load_state_dict(predictor.list_of_parameters[0])
    return LoadedModel(
        predictor.network,
        predictor.plans_manager,
        predictor.configuration_manager,
        predictor.label_manager,
        predictor.dataset_json,
        f"{model.dataset_name}, {model.trainer_name}, {model.plans_name}, {model.configuration}, "
        f"fold {model.folds[0]}, {checkpoint}",
    )


def case_patch(model: LoadedModel, case: RawCase) -> CasePatch:
    """Preprocess a case as for training and cut the patch around its foreground; two slices of it in 2D.

    Raises:
        UserError: a damaged file, no label, no foreground, or other channels than the network has.
    """
    if case.label is None:
        raise UserError(f"{case.name} has no label; the pictures of features and confidence need one")
    reader = reader_of(model.dataset, case.images[0])
    read_image(reader, case.images)  # nnU-Net's preprocessing takes what is damaged, NaN or of no class
    read_label(reader, case.label, label_values(model.dataset["labels"]))
    preprocessor = model.configuration.preprocessor_class(verbose=False)
    images = [str(path) for path in case.images]
    data, segmentation, _ = preprocessor.run_case(
        images, str(case.label), model.plans, model.configuration, model.dataset
    )
    wanted = len(model.dataset.get("channel_names") or model.dataset["modality"])
    if data.shape[0] != wanted:
        raise UserError(f"{case.name} has {data.shape[0]} channels, but the model was trained on {wanted}")
    image, label = np.asarray(data, np.float32), np.maximum(np.asarray(segmentation)[0], 0).astype(np.int16)
    foreground = label > 0
    if model.labels.ignore_label is not None:
        foreground &= label != model.labels.ignore_label
    if not foreground.any():
        raise UserError(f"{case.name} has no foreground; choose another with --cases")
    size = tuple(model.configuration.patch_size)
    if len(size) == 3:
        return CasePatch(*_cut(image[None], label[None, None], _middle(foreground), size))
    y, x = model.spacing_mm[-2:]
    m = case_fuzziness(image, label, (max(y, x), y, x), 16, slicewise=True).combined()
    slices = slices_that_matter(np.where(foreground, label, 0), m)
    flat = image[:, slices].swapaxes(0, 1), label[slices][:, None]
    return CasePatch(*_cut(*flat, _middle(foreground[slices].any(axis=0)), size))


def _middle(mask: NDArray[np.bool_]) -> list[int]:
    """The centre of a mask's bounding box."""
    return [(place.start + place.stop) // 2 for place in box_of(mask) or ()]


def _cut(
    image: NDArray[np.float32], label: NDArray[np.int16], centre: Sequence[int], size: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Patches of `size` around `centre` inside the image, padded with 0 where the image is smaller."""
    spans, padding = [slice(None)] * 2, [(0, 0)] * 2
    for middle, wanted, length in zip(centre, size, image.shape[2:], strict=True):
        start, missing = max(0, min(middle - wanted // 2, length - wanted)), max(0, wanted - length)
        spans.append(slice(start, start + wanted))
        padding.append((missing // 2, missing - missing // 2))
    cut_image, cut_label = (torch.from_numpy(np.pad(part[tuple(spans)], padding)) for part in (image, label))
    return cut_image, cut_label
