"""`nnUNetv2_dale_preview --model`: what a trained network makes of the fuzzy region of a case."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.dale.config import ADAPTED, DaleConfig
from nnunetv2_dale.dale.fuzziness import patch_shape
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase
from nnunetv2_dale.pages.slice_display import slices_that_matter
from nnunetv2_dale.preview.model_case import CasePatch, LoadedModel, case_patch, load_model
from nnunetv2_dale.preview.model_picture import OMEGA_IS, ShownSlice, confidence_picture, features_picture, numbers_of
from nnunetv2_dale.preview.network_look import NetworkLook, look
from nnunetv2_dale.preview.picture import CasePicture, Pictures
from nnunetv2_dale.preview.preview_case import RawSource, class_names, is_colour
from nnunetv2_dale.preview.region_features import region_features


def model_preview(arguments: argparse.Namespace, source: RawSource) -> tuple[str, Pictures]:
    """Load a trained model; returns what it is, and what draws the two pictures of a case.

    Raises:
        UserError: no such model; of the pictures also: a case that cannot be shown.
    """
    model = load_model(arguments.model, arguments.f, arguments.chk)
    config = DaleConfig(
        patch_size=ADAPTED.patch_size if arguments.patch_size is None else arguments.patch_size[0],
        fewest_patches=ADAPTED.fewest_patches if arguments.patch_size is None else 1,
        fuzzy_threshold=arguments.tau,
        entropy_bins=arguments.entropy_bins,
        intensity_bins=arguments.intensity_bins,
    )
    return model.description, lambda name: _pictures(model, config, source.cases[name], arguments.channel)


def _pictures(model: LoadedModel, config: DaleConfig, case: RawCase, channel: int) -> Iterator[tuple[str, CasePicture]]:
    patch = case_patch(model, case)
    _, channels, *shape = patch.images.shape
    if not 0 <= channel < channels:
        raise UserError(f"channel {channel} does not exist: {case.name} has {channels}")
    spacing = None if len(shape) == 2 else model.spacing_mm
    targets, loss = model.target(patch.label_map), model.loss()
    seen = look(model.network, patch.images, targets, loss, model.num_classes, config, spacing_mm=spacing)
    names = class_names(model.dataset)
    valid = None if model.labels.ignore_label is None else patch.label_map != model.labels.ignore_label
    tau = config.fuzzy_threshold
    sample = region_features(seen.features, patch.label_map, seen.m, tau, valid)
    used = patch_shape(shape, config.patch_size, spacing, config.fewest_patches)
    heading = f"{model.description} · τ = {tau:g} · patch {'×'.join(map(str, used))}"
    figure = features_picture({"features before the head": sample}, names, case.name, heading)
    numbers = numbers_of(sample, names).replace("$W_2$", "W₂").splitlines()
    yield "features", CasePicture(figure, tuple(line.strip() for line in numbers), (used,))
    reach = config.confidence_steps * config.confidence_lr
    rows = _rows(model, patch, seen, channel)
    figure = confidence_picture(rows, model.spacing_mm[-2:], names, reach, case.name, heading)
    fallen = float((seen.omega < 1).float().mean())
    ends = f"ω from {float(seen.omega.min()):.3f} to {float(seen.omega.max()):.3f}"
    yield "confidence", CasePicture(figure, (f"{ends}; it falls in {fallen:.1%} of the voxels", OMEGA_IS), (used,))


def _rows(model: LoadedModel, patch: CasePatch, seen: NetworkLook, channel: int) -> list[ShownSlice]:
    """The slices shown: the samples of a 2D batch, or those of a volume that matter."""
    colour = is_colour(model.dataset)
    predicted = torch.stack(
        [torch.as_tensor(model.labels.convert_logits_to_segmentation(logits)) for logits in seen.logits]
    )
    tensors = patch.images.movedim(1, -1), patch.label_map[:, 0], predicted, seen.m[:, 0], seen.omega[:, 0]
    image, label, found, m, confidence = (part.detach().cpu().numpy() for part in tensors)
    of_volume = label.ndim == 4
    places: Sequence[int] = range(len(label))
    if of_volume:
        image, label, found, m, confidence = (part[0] for part in (image, label, found, m, confidence))
        places = slices_that_matter(label, m)
    return [
        ShownSlice(
            f"slice {number + 1} of the patch" if of_volume else f"slice {number + 1}",
            image[number, ..., :3] if colour else image[number, ..., channel],
            label[number],
            {"Prediction": found[number]},
            m[number],
            confidence[number].astype(np.float32),
        )
        for number in places
    ]
