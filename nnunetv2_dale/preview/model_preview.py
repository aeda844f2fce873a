"""`nnUNetv2_dale_preview --model`: what a trained network makes of the fuzzy region of a case."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.dale.config import ADAPTED, DaleConfig
from nnunetv2_dale.dale.fuzziness import patch_shape
from nnunetv2_dale.pages.slice_display import slices_that_matter
from nnunetv2_dale.preview.model_case import CasePatch, LoadedModel, case_patch, load_model
from nnunetv2_dale.preview.model_picture import OMEGA_IS, ShownSlice, confidence_picture, features_picture, numbers_of
from nnunetv2_dale.preview.network_look import NetworkLook, look
from nnunetv2_dale.preview.picture import CasePicture
from nnunetv2_dale.preview.preview_case import RawSource, class_names, is_colour
from nnunetv2_dale.preview.region_features import region_features


class ModelPreview:
    """Draws cases of a raw dataset as a trained model sees them."""

    def __init__(self, arguments: argparse.Namespace, source: RawSource) -> None:
        self.model = load_model(arguments.model, arguments.f, arguments.chk)
        self.description = self.model.description
        self._channel = arguments.channel
        self._source = source
        self._config = DaleConfig(
            patch_size=ADAPTED.patch_size if arguments.patch_size is None else arguments.patch_size[0],
            fewest_patches=ADAPTED.fewest_patches if arguments.patch_size is None else 1,
            fuzzy_threshold=arguments.tau,
            entropy_bins=arguments.entropy_bins,
            intensity_bins=arguments.intensity_bins,
        )

    def pictures(self, name: str) -> Iterator[tuple[str, CasePicture]]:
        """Draw the two pictures of a case; yields each with its kind.

        Raises:
            UserError: a case that cannot be shown, or a network without nnU-Net's segmentation head.
        """
        case = self._source.dataset.cases[self._source.names.index(name)]
        model, config = self.model, self._config
        patch = case_patch(model, case)
        channels = patch.images.shape[1]
        if not 0 <= self._channel < channels:
            raise UserError(f"channel {self._channel} does not exist: {name} has {channels}")
        spacing = None if patch.images.ndim == 4 else model.spacing_mm
        try:
            seen = look(
                model.network,
                patch.images,
                model.target(patch.label_map),
                model.loss(),
                model.num_classes,
                config,
                spacing_mm=spacing,
            )
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
        names = class_names(model.dataset)
        valid = None if model.labels.ignore_label is None else patch.label_map != model.labels.ignore_label
        tau = config.fuzzy_threshold
        sample = region_features(seen.features, patch.label_map, seen.m, tau, valid)
        shape = patch.images.shape[2:]
        used = patch_shape(shape, config.patch_size, spacing, config.fewest_patches)
        heading = f"{self.description} · τ = {tau:g} · patch {'×'.join(map(str, used))}"
        yield (
            "features",
            CasePicture(
                features_picture({"features before the head": sample}, names, name, heading),
                tuple(line.strip() for line in numbers_of(sample, names).replace("$W_2$", "W₂").splitlines()),
                (used,),
            ),
        )
        rows = _rows(model, patch, seen, self._channel)
        reach = config.confidence_steps * config.confidence_lr
        fallen = float((seen.omega < 1).float().mean())
        summary = (
            f"ω from {float(seen.omega.min()):.3f} to {float(seen.omega.max()):.3f}; it falls in "
            f"{fallen:.1%} of the voxels"
        )
        figure = confidence_picture(rows, model.spacing_mm[-2:], names, reach, name, heading)
        yield "confidence", CasePicture(figure, (summary, OMEGA_IS), (used,))


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
