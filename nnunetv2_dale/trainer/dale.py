"""nnU-Net's trainer with DALE's training iteration: nnU-Net's hooks, no formulas."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor, autocast, nn
from torch._dynamo import OptimizedModule

from nnunetv2_dale.case_trust.single_update_step import SingleUpdateStep
from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import RECOMMENDED
from nnunetv2_dale.dale.feature_alignment import segmentation_head
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.nnunet_files.displacement_file import read_displacements, write_displacements
from nnunetv2_dale.trainer.checkpoint_files import check_resumable, replaced_when_complete
from nnunetv2_dale.trainer.cpu_memory import keep_freed_memory
from nnunetv2_dale.trainer.training_data import check_preprocessed, check_previous_stage, refuse_non_finite
from nnunetv2_dale.trainer.training_log import SCALARS, numbers_of, numbers_of_epoch


class nnUNetTrainerDALE(nnUNetTrainer):
    """Trains with DALE (*Minding Fuzzy Regions*, CVPR 2025); everything else is nnU-Net's.

    The settings, `dale`, are those that did best in the accuracy study (the paper's: `nnUNetTrainerDALE_asPrinted`); a
    `"dale": {...}` object in the plans' configuration overrides them.
    """

    dale = RECOMMENDED

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 -- nnU-Net's signature
    ) -> None:
        if configuration not in plans["configurations"]:
            raise RuntimeError(
                f"configuration {configuration!r} is not in the plans {plans['plans_name']!r}, which have "
                f"{', '.join(plans['configurations'])}"
            )
        if "dale" in plans:
            raise ValueError('"dale" is at the top of the plans, where it has no effect; move it into a configuration')
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.dale = self.dale.updated(self.configuration_manager.configuration.get("dale", {}))
        self.alternating_step: AlternatingStep | None = None  # -> on_train_start
        self._iteration = 0  # of the epoch
        self._add_log_keys()

    def initialize(self) -> None:
        check_preprocessed(
            self.preprocessed_dataset_folder,
            self.plans_manager.dataset_name,
            self.plans_manager.plans_name,
            self.configuration_name,
        )
        super().initialize()
        if self.dale.alignment_weight > 0:
            segmentation_head(self._plain_network())
        self.print_to_log_file("DALE settings:", json.dumps(asdict(self.dale)))
        self.logger.update_config({"dale": asdict(self.dale)})

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        datasets: tuple[Any, Any] = super().get_tr_and_val_datasets()
        if self.is_cascaded:
            cases = [case for dataset in datasets for case in dataset.identifiers]
            stage = self.configuration_manager.previous_stage_name
            check_previous_stage(self.folder_with_segs_from_previous_stage, cases, stage)
        return datasets

    def on_train_start(self) -> None:
        if self.device.type == "cpu" and self.dale.learns_confidence:
            keep_freed_memory()
        super().on_train_start()
        network = self._plain_network()
        regions = self.label_manager.has_regions
        extra_channels = len(self.label_manager.foreground_labels) if self.is_cascaded else 0
        step = AlternatingStep if self.dale.updates == "both_views" else SingleUpdateStep
        self.alternating_step = step(
            network=self.network,
            module=network,
            optimizer=self.optimizer,
            loss=self._masked_loss(),
            num_classes=self.label_manager.num_segmentation_heads + (1 if regions else 0),
            config=self.dale,
            spacing_mm=self.configuration_manager.spacing,
            image_channels=self.num_input_channels - extra_channels,
            update=self._update,
            autocast=self._autocast,
            loss_scale=self._loss_scale,
            generator=torch.Generator(self.device),
            compiled=isinstance(self._unwrapped_network(), OptimizedModule),
        )
        if self.current_epoch > 0 and self.alternating_step.likelihood is not None:
            remembered = read_displacements(Path(self.output_folder))
            self.alternating_step.likelihood.displacement.restore(remembered or {}, self.device)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        assert self.alternating_step is not None
        assert self.alternating_step.generator is not None
        # from the epoch, so that a resumed training draws what an uninterrupted one would
        self.alternating_step.generator.manual_seed(self.current_epoch * 1000 + self.local_rank)
        self.alternating_step.align = self.current_epoch >= self.dale.alignment_warmup
        self._iteration = 0
        last = self.num_iterations_per_epoch - 1
        if self.alternating_step.likelihood is not None and not self._trusts_all(last):
            for sentence in self.alternating_step.likelihood.look_for_groups():
                self.print_to_log_file("DALE groups:", sentence)

    def _trusts_all(self, iteration: int) -> bool:
        """Whether ω is still held at 1 in an iteration of this epoch."""
        batches = self.current_epoch * self.num_iterations_per_epoch + iteration
        progress = batches / (self.num_epochs * self.num_iterations_per_epoch)
        return bool(progress < self.dale.confidence_start or batches < self.dale.confidence_after)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        assert self.alternating_step is not None
        images, targets = batch["data"], batch["target"]
        refuse_non_finite(images, batch.get("keys"))
        images = images.to(self.device, non_blocking=True)
        if isinstance(targets, list):
            targets = [target.to(self.device, non_blocking=True) for target in targets]
        else:
            targets = targets.to(self.device, non_blocking=True)
        self.alternating_step.trust_all = self._trusts_all(self._iteration)
        self._iteration += 1
        record = self.alternating_step(images, targets, batch.get("keys"))
        values = numbers_of(record).cpu().numpy()  # the one wait for the device
        # nnU-Net's training loss: the mean of what the two updates minimised, on the scale of its validation loss
        return {"loss": (values[0] + values[1]) / 2, "dale": values}

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        numbers, histogram = numbers_of_epoch(train_outputs, self.is_ddp)
        for name, value in numbers.items():
            self.logger.log(f"dale_{name}", value, self.current_epoch)
        self.print_to_log_file("DALE", json.dumps({name: round(value, 4) for name, value in numbers.items()}))
        self.print_to_log_file("DALE confidence histogram", histogram)

    def save_checkpoint(self, filename: str) -> None:
        if self.local_rank != 0:  # as in nnU-Net; and the file that rank 0 writes is not to be touched
            return
        with replaced_when_complete(filename) as unfinished:
            super().save_checkpoint(unfinished)
        likelihood = None if self.alternating_step is None else self.alternating_step.likelihood
        if likelihood is not None and not self.disable_checkpointing and (state := likelihood.displacement.state()):
            write_displacements(Path(self.output_folder), state)

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        if not self.was_initialized:
            self.initialize()
        if isinstance(filename_or_checkpoint, str):
            check_resumable(filename_or_checkpoint, type(self).__name__, self.my_init_kwargs, self._plain_network())
        super().load_checkpoint(filename_or_checkpoint)
        self._add_log_keys()

    def _add_log_keys(self) -> None:
        """Register DALE's numbers in nnU-Net's log; epochs before they were kept count as NaN."""
        log = self.logger.local_logger.my_fantastic_logging
        for name in SCALARS:
            log.setdefault(f"dale_{name}", [float("nan")] * self.current_epoch)

    def _unwrapped_network(self) -> nn.Module:
        """The network without DDP; still compiled where it is."""
        network: nn.Module = self.network.module if self.is_ddp else self.network
        return network

    def _plain_network(self) -> nn.Module:
        """The network without DDP and torch.compile."""
        network = self._unwrapped_network()
        plain: nn.Module = network._orig_mod if isinstance(network, OptimizedModule) else network
        return plain

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

    def _autocast(self) -> AbstractContextManager[object]:
        return autocast("cuda") if self.device.type == "cuda" else nullcontext()

    def _loss_scale(self) -> Tensor | None:
        return None if self.grad_scaler is None else self.grad_scaler.scale(torch.ones((), device=self.device))

    def _update(self, loss: Tensor) -> None:
        """nnU-Net's optimizer update: scaled under AMP, gradient norm clipped at 12."""
        if self.grad_scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 12)
            self.optimizer.step()
            return
        self.grad_scaler.scale(loss).backward()
        self.grad_scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
