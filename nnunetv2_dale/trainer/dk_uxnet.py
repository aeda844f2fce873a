"""nnU-Net's trainer with DK-UXNet's network and losses: nnU-Net's hooks, no formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunetv2_dale.dale.masked_loss import all_resolutions
from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig
from nnunetv2_dale.dk_uxnet.losses import Outputs
from nnunetv2_dale.dk_uxnet.network import DkUxnet
from nnunetv2_dale.dk_uxnet.query_decoder import QueryDecoder
from nnunetv2_dale.trainer.training_log import means_by_name, of_all_ranks, on_host
from nnunetv2_dale.trainer.with_unlabelled import NUMBERS, TrainsWithUnlabelled

OF_VALIDATION = ("convolution_dice", "query_dice", "query_share")


class nnUNetTrainerDKUXNet(TrainsWithUnlabelled):
    """Trains DK-UXNet on labelled and unlabelled cases (arXiv 2311.12364); the rest is nnU-Net's. 3D only.

    A case is unlabelled when its label map is all ignore label. A `"dk_uxnet": {...}` object in the plans'
    configuration overrides the settings.
    """

    method = "DK-UXNet"
    dk_uxnet = DkUxnetConfig()
    settings_of = ("dk_uxnet",)
    log_keys = tuple(f"dk_uxnet_{name}" for name in (*NUMBERS, *OF_VALIDATION))

    def initialize(self) -> None:
        self.initial_lr = self.dk_uxnet.learning_rate  # that nnU-Net tells
        self.enable_deep_supervision = False  # the k-means layers have a loss each, on outputs of their own
        super().initialize()

    @classmethod
    def build_network_architecture(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Build DK-UXNet with the strides that the plans give nnU-Net's network.

        Static in nnU-Net, which calls it on the class when it predicts; of the class here, for its settings.
        """
        config = cls.dk_uxnet.updated(configuration_manager.configuration.get("dk_uxnet", {}))
        strides = configuration_manager.pool_op_kernel_sizes[1:]  # the first is of the input, 1 on every axis
        return DkUxnet(num_input_channels, num_output_channels, strides, config)

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """Switch nothing: the network gives every output where the training step asks for it, and only there."""

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        self._make_adamw(self.network)
        return self.adamw, self.adamw_schedule

    def _own_network(self) -> DkUxnet:
        network = self._plain_network()
        assert isinstance(network, DkUxnet)
        return network

    def _queries(self) -> QueryDecoder:
        return self._own_network().queries

    # --- training

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        self._warm_up()
        weak, labels = self._on_device(batch)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            outputs: Outputs = self.network(self._both_views(weak), every_output=True)
            loss, terms = self._loss(outputs, all_resolutions(labels), self._labelled(batch["keys"]))
        self._update(loss)
        values = on_host(loss, *(getattr(terms, name) for name in NUMBERS))
        return {"loss": values[0], "dk_uxnet": values[1:]}

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        means = means_by_name([output["dk_uxnet"] for output in train_outputs], NUMBERS, self.is_ddp)
        self.log_numbers(self.method, means, "dk_uxnet_")

    # --- prediction: how much each head is worth

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Build nnU-Net's loss, of the prediction, and of each head by itself."""
        share = self._own_network().query_share
        now = share.clone()
        measured = super().validation_step(_copy(batch))
        rows = []
        for each in (0.0, 1.0):
            share.fill_(each)
            found = measured if now == each else super().validation_step(_copy(batch))
            rows.append(np.stack([found["tp_hard"], found["fp_hard"], found["fn_hard"]]))
        share.copy_(now)
        return {**measured, "heads": np.stack(rows)}

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        heads = of_all_ranks([output.pop("heads") for output in val_outputs], self.is_ddp).sum(axis=0)
        super().on_validation_epoch_end(val_outputs)
        convolution, query = (_pseudo_dice(*head) for head in heads)
        share = self.dk_uxnet.query_share(convolution, query)
        self._own_network().query_share.fill_(share)
        values = (convolution, query, share)
        self.log_numbers(f"{self.method} heads", dict(zip(OF_VALIDATION, values, strict=True)), "dk_uxnet_")

    @classmethod
    def _refuse_unfit(cls, plans: PlansManager, configuration: str, dataset_json: dict[str, Any]) -> None:
        axes = len(plans.get_configuration(configuration).patch_size)
        if axes != 3:
            raise RuntimeError(
                f"DK-UXNet is a 3D network and cannot train configuration {configuration!r}, which has {axes} axes; "
                f"choose a 3d configuration, or nnUNetTrainerDKNet"
            )
        super()._refuse_unfit(plans, configuration, dataset_json)


def _copy(batch: dict[str, Any]) -> dict[str, Any]:
    """nnU-Net's validation changes the target that it is given."""
    return {**batch, "target": batch["target"].clone()}


def _pseudo_dice(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> float:
    """Mean over the classes that were seen or found; NaN without one."""
    seen = 2 * tp + fp + fn > 0
    return float((2 * tp[seen] / (2 * tp + fp + fn)[seen]).mean()) if seen.any() else float("nan")
