"""What people know about the labels, on its way from the preprocessed dataset into the loss of every trainer here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor

from nnunetv2_dale.dale.marginal_loss import KnownTargets
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, all_resolutions
from nnunetv2_dale.nnunet_files.preprocessed_confidence import PreprocessedConfidence, read_preprocessed_confidence
from nnunetv2_dale.trainer.doubted_dataset import DoubtedDataset, DoubtMovesAlong
from nnunetv2_dale.trainer.unlabelled_cases import first_few

_COUNTS = ("tp_hard", "fp_hard", "fn_hard")  # of nnU-Net's validation


class TakesConfidence(nnUNetTrainer):
    """Training targets carry what `nnUNetv2_dale_confidence preprocess` has written; without it nothing changes."""

    given: PreprocessedConfidence | None = None  # -> initialize
    loss: Any  # -> initialize
    _has_maps = False  # -> initialize

    def initialize(self) -> None:
        self.given = read_preprocessed_confidence(
            Path(self.preprocessed_dataset_folder_base),
            self.configuration_manager.data_identifier,
            self.dataset_json["labels"],
            self.plans_manager.plans_name,
        )
        if self.given is not None:
            self._has_maps = any(self.given.folder.glob("*.b2nd"))
        super().initialize()

    def get_training_transforms(self, *arguments: Any, **named: Any) -> BasicTransform:
        transforms = super().get_training_transforms(*arguments, **named)
        return DoubtMovesAlong(transforms) if self._has_maps else transforms

    def get_validation_transforms(self, *arguments: Any, **named: Any) -> BasicTransform:
        transforms = super().get_validation_transforms(*arguments, **named)
        return DoubtMovesAlong(transforms) if self._has_maps else transforms

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """nnU-Net's, without cases of weight 0; images have the doubt as last channel."""
        training, validation = super().get_tr_and_val_datasets()
        if self.given is None:
            return training, validation
        self._say_what_is_given(training.identifiers, validation.identifiers)
        table = self.given.table
        for dataset, title in ((training, "training"), (validation, "validation")):
            counted = [case for case in dataset.identifiers if table.weight(case) > 0]
            if not counted:
                raise RuntimeError(
                    f"confidence.csv gives every {title} case of fold {self.fold} the weight 0; give some more, or "
                    "choose another fold"
                )
            dataset.identifiers = counted
        maps = self.given.map_file if self._has_maps else None
        if maps is not None:
            validation = DoubtedDataset(validation, maps, {})
        not_sought = {case: self._not_sought(case) for case in training.identifiers}
        return DoubtedDataset(training, maps, not_sought, self.given.reader_files), validation

    def _not_sought(self, case: str) -> list[Any]:
        """The classes not annotated in a case, as nnU-Net's oversampling calls them."""
        assert self.given is not None
        missing, regions = self.given.table.not_annotated(case), self.label_manager.has_regions
        keys = self.label_manager.foreground_regions if regions else range(len(self.output_names))
        return [key for key, name in zip(keys, self.output_names, strict=True) if name in missing]

    @property
    def output_names(self) -> list[str]:
        """Of the network's outputs: classes with background, or regions."""
        labels, manager = self.dataset_json["labels"], self.label_manager
        if manager.has_regions:
            return [name for name in labels if name not in ("background", "ignore")]
        values = {name: value[0] if isinstance(value, list) else value for name, value in labels.items()}  # as [1]
        return sorted((name for name in labels if name != "ignore"), key=values.__getitem__)

    def _known(self, images: Tensor, targets: Outputs, cases: Sequence[str]) -> tuple[Tensor, Outputs]:
        """A batch of the training, on its device: images without the channel of doubt, targets with what is known."""
        class_weight = self._class_weight(cases)
        confidence = None
        if self._has_maps:
            images, confidence = images[:, :-1], 1 - images[:, -1:]
        elif class_weight is None:
            return images, targets
        regions = self.label_manager.has_regions
        return images, KnownTargets.of(all_resolutions(targets), confidence, class_weight, regions)

    def _class_weight(self, cases: Sequence[str]) -> Tensor | None:
        """(B, K) on the training's device: weight of each case, 0 for what is not annotated; None where all are 1."""
        if self.given is None:
            return None
        table = self.given.table
        rows = [
            [0.0 if name in table.not_annotated(case) else table.weight(case) for name in self.output_names]
            for case in cases
        ]
        if all(weight == 1 for row in rows for weight in row):
            return None
        return torch.tensor(rows).to(self.device, non_blocking=True)

    def _masked_loss(self) -> MaskedLoss:
        """nnU-Net's loss for these labels, with masks and weights."""
        regions, ignore_label = self.label_manager.has_regions, self.label_manager.ignore_label
        return MaskedLoss(
            regions=regions,
            ignore_label=None if regions else ignore_label,
            ignore_channel=regions and ignore_label is not None,
            batch_dice=self.configuration_manager.batch_dice,
            scale_weights=tuple(self.loss.weight_factors) if self.enable_deep_supervision else None,
            distributed=self.is_ddp,
        )

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's, its loss weighted by c; a class that is not annotated in a case is not counted there.

        Under DDP the loss is of the rank's own samples: what is known of them says how many parts a rank validates.
        """
        if self.given is None:
            measured: dict[str, Any] = super().validation_step(batch)
            return measured
        class_weight, confidence = self._class_weight(batch.get("keys", ())), None
        if self._has_maps:
            images = batch["data"]
            batch, confidence = {**batch, "data": images[:, :-1]}, (1 - images[:, -1:]).to(self.device)
        if class_weight is None:
            return self._validated(batch, slice(None), confidence, None)
        parts = [slice(sample, sample + 1) for sample in range(len(class_weight))]
        samples = [self._validated(batch, part, confidence, class_weight) for part in parts]
        found = {key: sum(sample[key] for sample in samples) for key in samples[0]}
        return {**found, "loss": found["loss"] / len(samples)}

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """nnU-Net's; an epoch that counts no class leaves its moving mean, which would be NaN for good."""
        super().on_validation_epoch_end(val_outputs)
        if self.given is not None:
            moving = self.logger.get_value("ema_fg_dice", step=None)
            if math.isnan(moving[-1]):
                moving[-1] = moving[-2] if len(moving) > 1 else 0.0

    def _validated(
        self, batch: dict[str, Any], part: slice, confidence: Tensor | None, class_weight: Tensor | None
    ) -> dict[str, Any]:
        """nnU-Net's validation of some samples, of one where classes are weighted, with its loss of what is known."""
        target = batch["target"]
        chosen = {
            "data": batch["data"][part],
            "target": target[part] if isinstance(target, Tensor) else [each[part] for each in target],
        }
        of_part = None if confidence is None else confidence[part]
        weight = None if class_weight is None else class_weight[part]
        plain, regions = self.loss, self.label_manager.has_regions
        masked = replace(self._masked_loss(), distributed=False)

        def weighted(outputs: Outputs, targets: Outputs) -> Tensor:
            return masked(outputs, KnownTargets.of(all_resolutions(targets), of_part, weight, regions))

        try:
            self.loss = weighted
            found: dict[str, Any] = super().validation_step(chosen)
        finally:
            self.loss = plain
        if weight is None:
            return found
        counted = weight[0, 0 if regions else 1 :].cpu().numpy() > 0
        return {**found, **{key: found[key] * counted for key in _COUNTS}}

    def _say_what_is_given(self, training: Sequence[str], validation: Sequence[str]) -> None:
        assert self.given is not None
        table, given = self.given.table, self.given
        for title, cases in (("training", training), ("validation", validation)):
            maps = [case for case in cases if given.map_file(case) is not None] if title == "training" else []
            read = [case for case in cases if given.reader_files(case)] if title == "training" else []
            out = [case for case in cases if table.weight(case) == 0]
            lower = [case for case in cases if 0 < table.weight(case) < 1]
            missing = {name: [case for case in cases if name in table.not_annotated(case)] for name in table.classes}
            said = {
                "with a map": maps,
                "with labels of several readers": read,
                "of a weight below 1": lower,
                "of weight 0, which are left out": out,
                **{f"in which {name} is not annotated": where for name, where in missing.items()},
            }
            for what, which in said.items():
                if which:
                    share = f"{len(which)} of {len(cases)} {title} cases"
                    self.print_to_log_file(f"confidence: {share} {what} ({first_few(which)})")
        if any(table.open_classes.values()):
            self.print_to_log_file("confidence: the pseudo Dice leaves out classes where they are not annotated")
