"""Modules that are trained beside nnU-Net's network and that prediction does not need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.masked_loss import Outputs
from nnunetv2_dale.trainer.distributed_gradients import average_gradients, start_equal
from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.training_log import means_of_what_is_there, of_all_ranks, on_host


class TrainsBeside(SafeTraining):
    """Keeps one module beside the network: optimized with it, equal on all ranks, and in the checkpoint.

    In training the network runs without its DDP wrapper; the gradients of both are averaged before the step.
    """

    method: ClassVar[str]  # its name in the log
    key: ClassVar[str]  # of its settings in the plans, its numbers in the log, its state in a checkpoint
    record: ClassVar[type]  # what `_learn` returns: a dataclass of scalars on the device, one of them `loss`
    numbers: ClassVar[tuple[str, ...]]  # the fields of `record`
    beside: nn.Module  # -> initialize
    own_optimizer: torch.optim.Optimizer | None = None  # -> initialize; None: the module shares nnU-Net's
    optimizer_key: ClassVar[str] = "optimizer"  # of the own one in a checkpoint
    step: Any  # images and targets to a record, gradients added -> on_train_start

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.settings_of = (cls.key,)
        cls.numbers = tuple(spec.name for spec in fields(cls.record))
        cls.log_keys = tuple(f"{cls.key}_{name}" for name in cls.numbers)

    def _build_beside(self) -> nn.Module:
        """The module, given the network."""
        raise NotImplementedError

    def _build_own_optimizer(self) -> torch.optim.Optimizer | None:
        """The module's, given the module; None: its weights are a second group of nnU-Net's, of the same settings."""
        return None

    def configure_optimizers(self) -> tuple[Any, Any]:
        """Build nnU-Net's optimizer, the module, and its own optimizer where it has one."""
        optimizer, scheduler = super().configure_optimizers()
        self.beside = self._build_beside().to(self.device)
        if self.is_ddp:
            start_equal(self.beside)
        self.own_optimizer = self._build_own_optimizer()
        if self.own_optimizer is None:
            optimizer.add_param_group({"params": list(self.beside.parameters())})
        return optimizer, scheduler

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.beside.train()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        images, targets = self._on_device(batch)
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        record = self._learn(images, targets)
        modules = [self._plain_network(), self.beside]
        if self.is_ddp:
            average_gradients([weight for module in modules for weight in module.parameters()])
        self._step([each for each in self._optimizers if _has_gradients(each)], modules)
        values = on_host(*(getattr(record, name) for name in self.numbers))
        return {"loss": values[self.numbers.index("loss")], self.key: values}

    def _learn(self, images: Tensor, targets: Outputs) -> Any:
        """Add the gradients of a batch to the weights; returns a `record`."""
        return self.step(images, targets)

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        values = of_all_ranks([output[self.key] for output in train_outputs], self.is_ddp)
        means = means_of_what_is_there(values)
        loss = self.numbers.index("loss")
        means[loss] = values[:, loss].mean()  # every iteration has one: NaN is shown, as in nnU-Net's log
        self.log_numbers(self.method, dict(zip(self.numbers, means.tolist(), strict=True)), f"{self.key}_")

    def _added_to_checkpoint(self) -> dict[str, Any]:
        return {**super()._added_to_checkpoint(), self.key: self._own_state()}

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        super().load_checkpoint(filename_or_checkpoint)
        checkpoint = filename_or_checkpoint
        if isinstance(checkpoint, str):
            checkpoint = torch.load(checkpoint, map_location=self.device, weights_only=False)
        self._load_own_state(checkpoint[self.key])

    def _own_state(self) -> dict[str, Any]:
        """What a checkpoint holds beside nnU-Net's parts."""
        own = {} if self.own_optimizer is None else {self.optimizer_key: self.own_optimizer.state_dict()}
        return {"beside": self.beside.state_dict(), **own}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        """Go on from what `_own_state` returned."""
        self.beside.load_state_dict(state["beside"])
        if self.own_optimizer is not None:
            self.own_optimizer.load_state_dict(state[self.optimizer_key])

    @property
    def _optimizers(self) -> list[torch.optim.Optimizer]:
        """Those that take a step in every iteration."""
        return [self.optimizer, *([] if self.own_optimizer is None else [self.own_optimizer])]

    def _network_with_skips(self) -> Callable[[Tensor], tuple[Sequence[Tensor], Outputs]]:
        """The network, giving the encoder's skips too; compiled where nnU-Net compiles."""
        network = NetworkWithSkips(self._plain_network(), type(self).__name__)
        return torch.compile(network) if self._do_i_compile() else network


def _has_gradients(optimizer: torch.optim.Optimizer) -> bool:
    return any(weight.grad is not None for group in optimizer.param_groups for weight in group["params"])


class NetworkWithSkips(nn.Module):
    """One of nnU-Net's U-Nets that gives what its encoder gives as well.

    Args:
        network: has an `encoder` that gives skips, and a `decoder` that takes them.
        trainer: who asks for it.
    Raises:
        RuntimeError: another network.
    """

    def __init__(self, network: nn.Module, trainer: str) -> None:
        super().__init__()
        encoder, decoder = (getattr(network, half, None) for half in ("encoder", "decoder"))
        if not (getattr(encoder, "return_skips", False) and isinstance(decoder, nn.Module)):
            raise RuntimeError(
                f"{trainer} needs a network of nnU-Net's U-Nets, with an encoder that gives skips to a decoder, found "
                f"{type(network).__name__}; choose plans with a U-Net"
            )
        self.encoder: Any = encoder
        self.decoder: Any = decoder

    @property
    def channels(self) -> list[int]:
        """Of the skips, full resolution first."""
        return [int(count) for count in self.encoder.output_channels]

    def forward(self, images: Tensor) -> tuple[Sequence[Tensor], Outputs]:
        """Return skips, full resolution first, and outputs."""
        skips = self.encoder(images)
        return skips, self.decoder(skips)
