"""nnU-Net's trainer with what all trainers here share: settings from the plans, early refusals, safe checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, autocast, nn
from torch._dynamo import OptimizedModule
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_dale.dale.masked_loss import Outputs, all_resolutions
from nnunetv2_dale.dale.validated_settings import ValidatedSettings
from nnunetv2_dale.trainer.checkpoint_files import check_resumable, replaced_when_complete
from nnunetv2_dale.trainer.cpu_process import THREADS_VARIABLE, take_allowed_threads
from nnunetv2_dale.trainer.given_confidence import TakesConfidence
from nnunetv2_dale.trainer.training_data import check_preprocessed, check_previous_stage, refuse_non_finite


class SafeTraining(TakesConfidence):
    """Refuses what cannot work before training time is spent; a full disk costs no checkpoint.

    A subclass names in `settings_of` its attributes that hold `ValidatedSettings`: the objects of the same keys in the
    plans' configuration change them, and they are written to the log. In `plans_keys` it names what else it reads
    there, in `log_keys` the numbers that it logs per epoch.
    """

    settings_of: ClassVar[tuple[str, ...]] = ()
    plans_keys: ClassVar[tuple[str, ...]] = ()
    log_keys: ClassVar[tuple[str, ...]] = ()
    training_cases: tuple[str, ...] = ()  # -> on_train_start

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 -- nnU-Net's signature
    ) -> None:
        if configuration not in plans["configurations"]:
            name, others = plans["plans_name"], ", ".join(plans["configurations"])
            raise RuntimeError(f"configuration {configuration!r} is not in the plans {name!r}, which have {others}")
        defaults: dict[str, ValidatedSettings] = {name: getattr(self, name) for name in self.settings_of}
        for key in (*(settings.plans_key for settings in defaults.values()), *self.plans_keys):
            if key in plans:
                raise ValueError(
                    f'"{key}" is at the top of the plans, where it has no effect; move it into a configuration'
                )
        self._refuse_unfit(PlansManager(plans), configuration, dataset_json)
        super().__init__(plans, configuration, fold, dataset_json, device)
        for name, settings in defaults.items():
            changes = self.configuration_manager.configuration.get(settings.plans_key, {})
            setattr(self, name, settings.updated(changes))
        self._add_log_keys()

    @classmethod
    def _refuse_unfit(cls, plans: PlansManager, configuration: str, dataset_json: dict[str, Any]) -> None:
        """Raise a RuntimeError for what the method cannot train, before anything is written."""

    def initialize(self) -> None:
        check_preprocessed(self.preprocessed_dataset_folder, self.plans_manager, self.configuration_name, self.fold)
        if self.device.type == "cpu" and (threads := take_allowed_threads()):
            self.print_to_log_file(f"CPU threads, as {THREADS_VARIABLE} says:", threads)
        super().initialize()
        for name in self.settings_of:
            settings = asdict(getattr(self, name))
            self.print_to_log_file(f"{name} settings:", json.dumps(settings))
            self.logger.update_config({name: settings})

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        datasets: tuple[Any, Any] = super().get_tr_and_val_datasets()
        self.training_cases = tuple(dict.fromkeys(datasets[0].identifiers))  # a fold may name a case often
        if self.is_cascaded:
            cases = [case for dataset in datasets for case in dataset.identifiers]
            stage = self.configuration_manager.previous_stage_name
            check_previous_stage(self.folder_with_segs_from_previous_stage, cases, stage)
        return datasets

    def save_checkpoint(self, filename: str) -> None:
        if self.local_rank != 0:  # as in nnU-Net; and the file that rank 0 writes is not to be touched
            return
        with replaced_when_complete(filename) as unfinished:
            super().save_checkpoint(unfinished)
            if (added := self._added_to_checkpoint()) and Path(unfinished).exists():  # they may be switched off
                checkpoint = torch.load(unfinished, map_location="cpu", weights_only=False)
                torch.save({**checkpoint, **added}, unfinished)

    def _added_to_checkpoint(self) -> dict[str, Any]:
        """What a checkpoint holds beside nnU-Net's parts, under keys that nnU-Net does not use."""
        return {}

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        if not self.was_initialized:
            self.initialize()
        if isinstance(filename_or_checkpoint, str):
            check_resumable(filename_or_checkpoint, type(self).__name__, self.my_init_kwargs, self._plain_network())
        super().load_checkpoint(filename_or_checkpoint)
        self._add_log_keys()

    def log_numbers(self, title: str, numbers: dict[str, float], prefix: str) -> None:
        """Write an epoch's numbers into nnU-Net's log, under their names with the prefix, and as a line of its text.

        NaN, a number that no iteration has, is not in the line.
        """
        for name, value in numbers.items():
            self.logger.log(f"{prefix}{name}", value, self.current_epoch)
        present = {name: round(value, 4) for name, value in numbers.items() if not math.isnan(value)}
        if present:
            self.print_to_log_file(title, json.dumps(present))

    def epochs_of(self, key: str) -> list[float]:
        """Return a number of nnU-Net's log, one value per epoch."""
        values: list[float] = self.logger.local_logger.my_fantastic_logging[key]
        return values

    def _add_log_keys(self) -> None:
        """Register the numbers in nnU-Net's log; epochs before they were kept count as NaN."""
        log = self.logger.local_logger.my_fantastic_logging
        for name in self.log_keys:
            log.setdefault(name, [float("nan")] * self.current_epoch)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's; where something is given of the labels, its loss with that."""
        if self.given is None:
            refuse_non_finite(batch["data"], batch.get("keys"))
            plain: dict[str, Any] = super().train_step(batch)
            return plain
        images, targets = self._on_device(batch)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            outputs = self.network(images)
        loss = self._masked_loss()(outputs, targets)
        self._update(loss)
        return {"loss": loss.detach().cpu().numpy()}

    def _on_device(self, batch: dict[str, Any]) -> tuple[Tensor, Outputs]:
        """Images and targets of a batch on the training's device; images that are not finite are refused."""
        images, targets = batch["data"], batch["target"]
        refuse_non_finite(images, batch.get("keys"))
        images = images.to(self.device, non_blocking=True)
        moved = [target.to(self.device, non_blocking=True) for target in all_resolutions(targets)]
        return self._known(images, moved if isinstance(targets, list) else moved[0], batch.get("keys", ()))

    @property
    def _batches(self) -> int:
        """Of the whole training."""
        return int(self.num_epochs * self.num_iterations_per_epoch)

    @property
    def _image_channels(self) -> int:
        """Leading channels of the input that are image; a cascade's others are the segmentation of the stage before."""
        return int(self.num_input_channels) - (len(self.label_manager.foreground_labels) if self.is_cascaded else 0)

    def _unwrapped_network(self) -> nn.Module:
        """The network without DDP; still compiled where it is."""
        # not is_ddp: while the network is made it has no wrapper yet
        network: nn.Module = self.network.module if isinstance(self.network, DistributedDataParallel) else self.network
        return network

    def _plain_network(self) -> nn.Module:
        """The network without DDP and torch.compile."""
        network = self._unwrapped_network()
        plain: nn.Module = network._orig_mod if isinstance(network, OptimizedModule) else network
        return plain

    def _autocast(self) -> AbstractContextManager[object]:
        return autocast("cuda") if self.device.type == "cuda" else nullcontext()

    def _loss_scale(self) -> Tensor | None:
        return None if self.grad_scaler is None else self.grad_scaler.scale(torch.ones((), device=self.device))

    def _update(self, loss: Tensor) -> None:
        """nnU-Net's optimizer update: scaled under AMP, gradient norm clipped at 12."""
        self._backward(loss)
        self._step([self.optimizer], [self.network])

    def _backward(self, loss: Tensor) -> None:
        """Add a loss's gradient, scaled under AMP."""
        (loss if self.grad_scaler is None else self.grad_scaler.scale(loss)).backward()

    def _step(self, optimizers: Sequence[torch.optim.Optimizer], modules: Sequence[nn.Module]) -> None:
        """A step of every optimizer, the gradient norm of each module clipped by itself."""
        scaler = self.grad_scaler
        if scaler is not None:
            for optimizer in optimizers:
                scaler.unscale_(optimizer)
        for module in modules:
            torch.nn.utils.clip_grad_norm_(module.parameters(), 12)
        for optimizer in optimizers:
            optimizer.step() if scaler is None else scaler.step(optimizer)
        if scaler is not None:
            scaler.update()
