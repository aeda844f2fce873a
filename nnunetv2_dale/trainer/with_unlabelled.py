"""Training on labelled and unlabelled cases: which are which, how they are drawn, and the loss of both views."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar

import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn

from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.dale.marginal_loss import KnownTargets, class_weight_of, confidence_of
from nnunetv2_dale.dk_uxnet.config import DkNetConfig
from nnunetv2_dale.dk_uxnet.losses import LossTerms, Outputs, loss_terms
from nnunetv2_dale.dk_uxnet.query_decoder import QueryDecoder
from nnunetv2_dale.dk_uxnet.views import strong_view
from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.unlabelled_cases import class_shares, drawn_equally, first_few, unlabelled_cases

NUMBERS = tuple(spec.name for spec in fields(LossTerms))
_SUPERVISED = ("convolution", "query", "groups", "layers")  # numbers that an iteration without labels does not have


class TrainsWithUnlabelled(SafeTraining):
    """Finds the cases whose label map is all ignore label, and draws them beside those with labels."""

    method: ClassVar[str]  # its name in the log and in messages
    unlabelled: frozenset[str] = frozenset()  # -> get_tr_and_val_datasets
    class_shares: tuple[float, ...] = ()  # -> get_tr_and_val_datasets
    generator: torch.Generator  # -> on_train_start

    @property
    def semi_supervised(self) -> DkNetConfig:
        """The method's settings."""
        settings: DkNetConfig = getattr(self, self.settings_of[0])
        return settings

    def _queries(self) -> QueryDecoder:
        """The module that holds the queries."""
        raise NotImplementedError

    def initialize(self) -> None:
        super().initialize()
        if self.batch_size < 2:
            raise RuntimeError(
                f"{self.method} learns from cases with and without labels side by side and needs at least 2 samples on "
                f"every GPU, found batch_size {self.configuration_manager.batch_size} in the plans; raise it, or train "
                f"on fewer GPUs"
            )

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        training, validation = super().get_tr_and_val_datasets()
        ignore_label = self.label_manager.ignore_label
        stored = getattr(training, "as_stored", training)  # of several readers each visit draws one
        unlabelled = unlabelled_cases(stored, ignore_label)
        self.unlabelled = frozenset(unlabelled)
        labelled = [case for case in training.identifiers if case not in self.unlabelled]
        if not unlabelled or not labelled:
            raise RuntimeError(
                f"{self.method} needs labelled cases and cases whose label map is all ignore label ({ignore_label}), "
                f"found {len(labelled)} and {len(unlabelled)} in the training set; use nnUNetTrainer or "
                f"nnUNetTrainerDALE for labelled cases alone"
            )
        self.print_to_log_file(
            f"{self.method}: {counted(len(labelled), 'labelled training case')}, {len(unlabelled)} unlabelled "
            f"({first_few(unlabelled)})"
        )
        if "CTNormalization" in self.configuration_manager.normalization_schemes:
            self.print_to_log_file(
                "CT: were the plans made on labelled cases alone? nnU-Net takes the ignore label for foreground, so "
                "else unlabelled air is in the plans' intensities; see docs/dk_uxnet.md"
            )
        self.class_shares = class_shares(stored, labelled, self.label_manager.num_segmentation_heads)
        training.identifiers = drawn_equally(labelled, unlabelled, self.semi_supervised.labelled_share)
        self._keep_labelled(validation)
        return training, validation

    def _keep_labelled(self, validation: Any) -> None:
        """Leave cases without labels, which measure nothing, out of the pseudo Dice."""
        unlabelled = set(unlabelled_cases(validation, self.label_manager.ignore_label))
        measured = [case for case in validation.identifiers if case not in unlabelled]
        if measured:
            validation.identifiers = measured
            return
        self.print_to_log_file(
            "No validation case has labels: the pseudo Dice is NaN, and checkpoint_best is that of the first epoch. "
            "nnUNetv2_dale_corrupt_labels --kind unlabelled keeps the labels of a fold's validation cases."
        )

    def on_train_start(self) -> None:
        # nnU-Net's loader says so whenever it draws an unlabelled case
        warnings.filterwarnings("ignore", message="Warning! No annotated pixels in image!")
        super().on_train_start()
        self.generator = torch.Generator(self.device)
        if self.current_epoch == 0:
            self._queries().start_groups_at(self.class_shares)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        # from the epoch, so that a resumed training draws what an uninterrupted one would
        self.generator.manual_seed(self.current_epoch * 1000 + self.local_rank)
        self.adamw_schedule.step(self.current_epoch)
        self.scheduled_lr, self.iteration = float(self.adamw.param_groups[0]["lr"]), 0

    def _make_adamw(self, module: nn.Module) -> None:
        """AdamW for a module, with nnU-Net's schedule; SGD at nnU-Net's rate teaches the queries nothing."""
        config = self.semi_supervised
        self.adamw = torch.optim.AdamW(module.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        self.adamw_schedule = PolyLRScheduler(self.adamw, config.learning_rate, self.num_epochs)

    def _warm_up(self) -> None:
        """AdamW's rate in this iteration: it rises to the scheduled one in the first part of the training."""
        self.iteration += 1
        done = self.current_epoch * self.num_iterations_per_epoch + self.iteration
        rising = max(self.semi_supervised.warm_up_share * self._batches, 1.0)
        for group in self.adamw.param_groups:
            group["lr"] = self.scheduled_lr * min(1.0, done / rising)

    def _labelled(self, cases: Sequence[str]) -> Tensor:
        """(B,) bool. By name: a crop of a labelled case can be all ignore label, one of an unlabelled case can show
        background."""
        return torch.tensor([case not in self.unlabelled for case in cases], device=self.device)

    def _both_views(self, weak: Tensor) -> Tensor:
        """(2B, C, *S): the crops as augmentation made them, then their strong views."""
        config = self.semi_supervised
        noise, contrast = config.strong_noise, config.strong_contrast
        return torch.cat([weak, strong_view(weak, noise, contrast, self.generator, self._image_channels)])

    def _loss(self, outputs: Outputs, labels: Sequence[Tensor], labelled: Tensor) -> tuple[Tensor, LossTerms]:
        """The loss of both views, and its terms for the log; NaN for what a batch without labels does not have."""
        config = self.semi_supervised
        terms = loss_terms(
            outputs,
            labels,
            labelled,
            sizes=self._queries().group_sizes,
            ignore_label=self.label_manager.ignore_label,
            supervised=self._supervised,
            temperature=config.agreement_temperature,
        )
        loss = terms.total(config.group_weight, config.agreement_weight(self.current_epoch / self.num_epochs))
        if not labelled.any():
            nothing = torch.full_like(loss.detach(), torch.nan)
            terms = replace(terms, **dict.fromkeys(_SUPERVISED, nothing))
        return loss, terms

    def _supervised(self, logits: Sequence[Tensor], labels: Sequence[Tensor], labelled: Tensor) -> Tensor:
        """nnU-Net's loss of the labelled samples, where something is given with what is known of them; 0 without one.

        A batch Dice sums over all samples, and over ranks, which therefore all take part: unlabelled samples add
        nothing to its sums. A Dice per sample is a mean over samples, so unlabelled ones must not be among them.
        """
        if not self.configuration_manager.batch_dice:
            if not labelled.any():
                return torch.stack([each.sum() for each in logits]).sum() * 0
            logits = [each[labelled] for each in logits]
            known = [
                None if each is None else each[labelled] for each in (confidence_of(labels), class_weight_of(labels))
            ]
            labels = KnownTargets([each[labelled] for each in labels], *known)
        if self.given is not None:
            return self._masked_loss()(logits, labels)
        deep = isinstance(self.loss, DeepSupervisionWrapper)
        if deep and len(logits) > 1:
            of_all: Tensor = self.loss(list(logits), list(labels))
            return of_all
        loss: Tensor = (self.loss.loss if deep else self.loss)(logits[0], labels[0])
        return loss

    @classmethod
    def _refuse_unfit(cls, plans: PlansManager, configuration: str, dataset_json: dict[str, Any]) -> None:
        labels = plans.get_label_manager(dataset_json)
        if labels.has_regions:
            raise RuntimeError(
                f"{cls.method} needs labels that exclude each other, found regions in dataset.json; list plain labels "
                f"there, or choose another trainer such as nnUNetTrainerDALE"
            )
        if not labels.has_ignore_label:
            raise RuntimeError(
                f'{cls.method} finds unlabelled cases by the ignore label, found no "ignore" among the labels in '
                f"dataset.json; add it and give it to all voxels of the unlabelled cases, or choose another trainer "
                f"such as nnUNetTrainerDALE"
            )
