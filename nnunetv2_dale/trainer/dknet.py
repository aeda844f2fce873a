"""nnU-Net's trainer with DK-UXNet's queries, losses and views on nnU-Net's own network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.masked_loss import Outputs as NetworkOutputs
from nnunetv2_dale.dale.masked_loss import all_resolutions
from nnunetv2_dale.dk_uxnet.config import DkNetConfig
from nnunetv2_dale.dk_uxnet.losses import LossTerms, Outputs
from nnunetv2_dale.dk_uxnet.query_decoder import QueryDecoder
from nnunetv2_dale.trainer.modules_beside import NetworkWithSkips, TrainsBeside
from nnunetv2_dale.trainer.with_unlabelled import TrainsWithUnlabelled


@dataclass(frozen=True)
class DkNetRecord(LossTerms):
    """The terms of a batch, and their weighted sum."""

    loss: Tensor


class nnUNetTrainerDKNet(TrainsWithUnlabelled, TrainsBeside):
    """Trains nnU-Net's network on labelled and unlabelled cases, as DK-UXNet does its own (arXiv 2311.12364).

    The queries are trained beside the network; prediction does not need them. A case is unlabelled when its label map
    is all ignore label. A `"dknet": {...}` object in the plans' configuration overrides the settings.
    """

    method = "DKNet"
    key = "dknet"
    record = DkNetRecord
    dknet: DkNetConfig = DkNetConfig()
    optimizer_key = "adamw"

    def _build_own_optimizer(self) -> torch.optim.Optimizer:
        """AdamW for the queries; the network keeps nnU-Net's."""
        self._make_adamw(self.beside)
        return self.adamw

    def _build_beside(self) -> nn.Module:
        channels = NetworkWithLevels(self._plain_network(), type(self).__name__).channels
        classes = self.label_manager.num_segmentation_heads
        return QueryDecoder(channels, classes, len(self.configuration_manager.patch_size), self.dknet)

    def _queries(self) -> QueryDecoder:
        assert isinstance(self.beside, QueryDecoder)
        return self.beside

    def on_train_start(self) -> None:
        super().on_train_start()
        network = NetworkWithLevels(self._plain_network(), type(self).__name__)
        self.see = torch.compile(network) if self._do_i_compile() else network

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.labelled = self._labelled(batch["keys"])
        self._warm_up()
        return super().train_step(batch)

    def _learn(self, images: Tensor, targets: NetworkOutputs) -> DkNetRecord:
        with self._autocast():
            levels, outputs = self.see(self._both_views(images))
            queries, assignments = self._queries()(levels)
            labels = all_resolutions(targets)
            loss, terms = self._loss(Outputs(outputs, queries, assignments), labels, self.labelled)
        self._backward(loss)
        return DkNetRecord(**vars(terms), loss=loss)


class NetworkWithLevels(NetworkWithSkips):
    """One of nnU-Net's U-Nets that gives the features of its decoder's levels as well.

    Raises:
        RuntimeError: another network.
    """

    def __init__(self, network: nn.Module, trainer: str) -> None:
        super().__init__(network, trainer)
        if not all(hasattr(self.decoder, part) for part in ("transpconvs", "stages", "seg_layers")):
            raise RuntimeError(
                f"{trainer} needs a decoder of nnU-Net's U-Nets, with stages and segmentation layers, found "
                f"{type(self.decoder).__name__}; choose plans with a U-Net"
            )

    @property
    def channels(self) -> list[int]:
        """Of the levels, full resolution first."""
        return [int(layer.in_channels) for layer in reversed(self.decoder.seg_layers)]

    def forward(self, images: Tensor) -> tuple[Sequence[Tensor], list[Tensor]]:
        """Return levels and logits, full resolution first; without deep supervision only those logits."""
        *skips, features = self.encoder(images)
        levels: list[Tensor] = []
        for up, stage, skip in zip(self.decoder.transpconvs, self.decoder.stages, reversed(skips), strict=True):
            features = stage(torch.cat([up(features), skip], dim=1))
            levels.insert(0, features)
        heads = list(reversed(self.decoder.seg_layers))[: None if self.decoder.deep_supervision else 1]
        return levels, [head(level) for head, level in zip(heads, levels, strict=False)]
