"""nnU-Net's trainer with DK-UXNet's network and losses: nnU-Net's hooks, no formulas."""

from __future__ import annotations

import warnings
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig
from nnunetv2_dale.dk_uxnet.losses import LossTerms, loss_terms
from nnunetv2_dale.dk_uxnet.network import DkUxnet
from nnunetv2_dale.dk_uxnet.views import strong_view
from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.training_log import means_of_what_is_there, of_all_ranks
from nnunetv2_dale.trainer.unlabelled_cases import drawn_equally, first_few, unlabelled_cases

NUMBERS = tuple(spec.name for spec in fields(LossTerms))
_SUPERVISED = ("convolution", "query", "groups", "layers")  # numbers that an iteration without labels does not have


class nnUNetTrainerDKUXNet(SafeTraining):
    """Trains DK-UXNet on labelled and unlabelled cases (arXiv 2311.12364); the rest is nnU-Net's. 3D only.

    A case is unlabelled when its label map is all ignore label. A `"dk_uxnet": {...}` object in the plans'
    configuration overrides the settings.
    """

    dk_uxnet = DkUxnetConfig()
    settings_of = ("dk_uxnet",)
    log_keys = tuple(f"dk_uxnet_{name}" for name in NUMBERS)

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 -- nnU-Net's signature
    ) -> None:
        if configuration in plans["configurations"]:
            _refuse_unfit(PlansManager(plans), configuration, dataset_json)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.initial_lr, self.weight_decay = 1e-4, 1e-2  # of AdamW in the published code
        self.enable_deep_supervision = False  # the k-means layers have a loss each, on outputs of their own
        self.unlabelled: frozenset[str] = frozenset()  # -> get_tr_and_val_datasets
        self.generator: torch.Generator | None = None  # -> on_train_start

    @classmethod
    def build_network_architecture(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """DK-UXNet with the strides that the plans give nnU-Net's network.

        Static in nnU-Net, which calls it on the class when it predicts; of the class here, for its settings.
        """
        config = cls.dk_uxnet.updated(configuration_manager.configuration.get("dk_uxnet", {}))
        strides = configuration_manager.pool_op_kernel_sizes[1:]  # the first is of the input, 1 on every axis
        return DkUxnet(num_input_channels, num_output_channels, strides, config)

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """Nothing to switch: the network gives every output where the training step asks for it, and only there."""

    def initialize(self) -> None:
        super().initialize()
        if self.batch_size < 2:
            raise RuntimeError(
                f"DK-UXNet compares the cases of a batch and needs at least 2 on every GPU, found batch_size "
                f"{self.configuration_manager.batch_size} in the plans; raise it, or train on fewer GPUs"
            )

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        optimizer = torch.optim.AdamW(self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        training, validation = super().get_tr_and_val_datasets()
        ignore_label = self.label_manager.ignore_label
        unlabelled = unlabelled_cases(training, ignore_label)
        self.unlabelled = frozenset(unlabelled)
        labelled = [case for case in training.identifiers if case not in self.unlabelled]
        if not unlabelled or not labelled:
            raise RuntimeError(
                f"DK-UXNet needs labelled cases and cases whose label map is all ignore label ({ignore_label}), found "
                f"{len(labelled)} and {len(unlabelled)} in the training set; use nnUNetTrainer or nnUNetTrainerDALE "
                f"for labelled cases alone"
            )
        self.print_to_log_file(
            f"DK-UXNet: {len(labelled)} labelled training cases, {len(unlabelled)} unlabelled ({first_few(unlabelled)})"
        )
        training.identifiers = drawn_equally(labelled, unlabelled, self.dk_uxnet.labelled_share)
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

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        assert self.generator is not None
        # from the epoch, so that a resumed training draws what an uninterrupted one would
        self.generator.manual_seed(self.current_epoch * 1000 + self.local_rank)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        assert self.generator is not None
        weak, labels = self._on_device(batch)
        network = self._plain_network()
        assert isinstance(labels, Tensor)
        assert isinstance(network, DkUxnet)
        # by name: a crop of a labelled case can be all ignore label, and one of an unlabelled case can have background
        labelled = torch.tensor([case not in self.unlabelled for case in batch["keys"]], device=self.device)
        config = self.dk_uxnet
        strong = strong_view(weak, config.strong_noise, config.strong_contrast, self.generator, self._image_channels)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            terms = loss_terms(
                self.network(torch.cat([weak, strong]), every_output=True),
                labels,
                labelled,
                sizes=network.group_sizes,
                ignore_label=self.label_manager.ignore_label,
                supervised=self._supervised,
                temperature=config.agreement_temperature,
            )
            loss = terms.total(config.group_weight, config.agreement_weight(self.current_epoch / self.num_epochs))
        self._update(loss)
        scalars = [loss, *(getattr(terms, name) for name in NUMBERS)]
        values = torch.stack([scalar.detach().float() for scalar in scalars]).cpu().numpy()
        numbers = values[1:]
        if not any(case not in self.unlabelled for case in batch["keys"]):
            numbers[[name in _SUPERVISED for name in NUMBERS]] = np.nan
        return {"loss": values[0], "dk_uxnet": numbers}

    def _supervised(self, logits: Tensor, labels: Tensor, labelled: Tensor) -> Tensor:
        """nnU-Net's loss of the labelled samples; 0 without one.

        A batch Dice sums over all samples, and over ranks, which therefore all take part: unlabelled samples add
        nothing to its sums. A Dice per sample is a mean over samples, so unlabelled ones must not be among them.
        """
        loss: Tensor
        if self.configuration_manager.batch_dice:
            loss = self.loss(logits, labels)
            return loss
        if not labelled.any():
            return logits.sum() * 0
        loss = self.loss(logits[labelled], labels[labelled])
        return loss

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        means = means_of_what_is_there(of_all_ranks([output["dk_uxnet"] for output in train_outputs], self.is_ddp))
        self.log_numbers("DK-UXNet", dict(zip(NUMBERS, means.tolist(), strict=True)), "dk_uxnet_")


def _refuse_unfit(plans: PlansManager, configuration: str, dataset_json: dict[str, Any]) -> None:
    """Raise a RuntimeError when the configuration or the labels are none that DK-UXNet can train."""
    axes = len(plans.get_configuration(configuration).patch_size)
    labels = plans.get_label_manager(dataset_json)
    if axes != 3:
        raise RuntimeError(
            f"DK-UXNet is a 3D network and cannot train configuration {configuration!r}, which has {axes} axes; "
            f"choose a 3d configuration, or another trainer such as nnUNetTrainerDALE"
        )
    if labels.has_regions:
        raise RuntimeError(
            "DK-UXNet needs labels that exclude each other, found regions in dataset.json; list plain labels there, or "
            "choose another trainer such as nnUNetTrainerDALE"
        )
    if not labels.has_ignore_label:
        raise RuntimeError(
            'DK-UXNet finds unlabelled cases by the ignore label, found no "ignore" among the labels in dataset.json; '
            "add it and give it to all voxels of the unlabelled cases, or choose another trainer such as "
            "nnUNetTrainerDALE"
        )
