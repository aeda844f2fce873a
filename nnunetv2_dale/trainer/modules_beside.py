"""Modules that are trained beside nnU-Net's network and that prediction does not need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from nnunetv2_dale.dale.masked_loss import Outputs
from nnunetv2_dale.trainer.checkpoint_files import replaced_when_complete
from nnunetv2_dale.trainer.distributed_gradients import average_gradients, start_equal
from nnunetv2_dale.trainer.safe_training import SafeTraining

Encode = Callable[[Tensor], Sequence[Tensor]]
Decode = Callable[[Sequence[Tensor]], Outputs]


class TrainsBeside(SafeTraining):
    """Keeps one module beside the network: in the optimizer, equal on all ranks, and in the checkpoint.

    In training the network runs without its DDP wrapper; the gradients of both are averaged before the step. A subclass
    puts its numbers of an iteration, in the order of `numbers`, into what `train_step` returns, under `key`.
    """

    method: ClassVar[str]  # its name in the log
    key: ClassVar[str]  # of its numbers in the log, and of its state in a checkpoint
    numbers: ClassVar[tuple[str, ...]]
    beside: nn.Module  # -> initialize

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.log_keys = tuple(f"{cls.key}_{name}" for name in cls.numbers)

    def _build_beside(self) -> nn.Module:
        """The module, given the network."""
        raise NotImplementedError

    def configure_optimizers(self) -> tuple[Any, Any]:
        """nnU-Net's, with the module's weights as a second group of the same settings."""
        optimizer, scheduler = super().configure_optimizers()
        self.beside = self._build_beside().to(self.device)
        if self.is_ddp:
            start_equal(self.beside)
        optimizer.add_param_group({"params": list(self.beside.parameters())})
        return optimizer, scheduler

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.beside.train()

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        values = np.mean([output[self.key] for output in train_outputs], axis=0)
        if self.is_ddp:
            gathered: list[Any] = [None] * distributed.get_world_size()
            distributed.all_gather_object(gathered, values)
            values = np.mean(gathered, axis=0)
        self.log_numbers(self.method, dict(zip(self.numbers, values.tolist(), strict=True)), f"{self.key}_")

    def save_checkpoint(self, filename: str) -> None:
        """nnU-Net's, with the method's own state under `key`."""
        if self.local_rank != 0:
            return
        with replaced_when_complete(filename) as unfinished:
            super().save_checkpoint(unfinished)
            if Path(unfinished).exists():  # checkpoints may be switched off
                checkpoint = torch.load(unfinished, map_location="cpu", weights_only=False)
                torch.save({**checkpoint, self.key: self._own_state()}, unfinished)

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        super().load_checkpoint(filename_or_checkpoint)
        checkpoint = filename_or_checkpoint
        if isinstance(checkpoint, str):
            checkpoint = torch.load(checkpoint, map_location=self.device, weights_only=False)
        self._load_own_state(checkpoint[self.key])

    def _own_state(self) -> dict[str, Any]:
        """What a checkpoint holds beside nnU-Net's parts."""
        return {"beside": self.beside.state_dict()}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        """Go on from what `_own_state` returned."""
        self.beside.load_state_dict(state["beside"])

    def _record(self, loss: Tensor, numbers: Sequence[Tensor]) -> dict[str, Any]:
        """What `train_step` returns: nnU-Net's training loss and the method's numbers, read from the device at once."""
        values = torch.stack([value.detach().float() for value in (loss, *numbers)]).cpu().numpy()
        return {"loss": values[0], self.key: values[1:]}

    def _backward(self, loss: Tensor) -> None:
        """Add a loss's gradient, scaled under AMP."""
        scaled = loss if self.grad_scaler is None else self.grad_scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]

    def _step(self) -> None:
        """nnU-Net's optimizer step from the gradients that are there, alike on all ranks.

        The gradient norm of the network and that of the module are clipped at 12, each by itself.
        """
        modules = [self._plain_network(), self.beside]
        if self.is_ddp:
            average_gradients([weight for module in modules for weight in module.parameters()])
        if self.grad_scaler is not None:
            self.grad_scaler.unscale_(self.optimizer)
        for module in modules:
            torch.nn.utils.clip_grad_norm_(module.parameters(), 12)
        if self.grad_scaler is None:
            self.optimizer.step()
            return
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _halves(self) -> tuple[Encode, Decode]:
        """The encoder and the decoder of the network, compiled where nnU-Net compiles."""
        encoder, decoder = encoder_and_decoder(self._plain_network(), type(self).__name__)
        return (torch.compile(encoder), torch.compile(decoder)) if self._do_i_compile() else (encoder, decoder)


def encoder_and_decoder(network: nn.Module, trainer: str) -> tuple[nn.Module, nn.Module]:
    """The two halves of one of nnU-Net's U-Nets.

    Raises:
        RuntimeError: no `encoder` that gives skips, or no `decoder` that takes them.
    """
    encoder: Any = getattr(network, "encoder", None)
    decoder: Any = getattr(network, "decoder", None)
    halves = isinstance(encoder, nn.Module) and isinstance(decoder, nn.Module)
    if not (halves and getattr(encoder, "return_skips", False)):
        raise RuntimeError(
            f"{trainer} needs a network of nnU-Net's U-Nets, with an encoder that gives skips to a decoder, found "
            f"{type(network).__name__}; choose plans with a U-Net"
        )
    return encoder, decoder


def skip_channels(network: nn.Module, trainer: str) -> list[int]:
    """Channels of the encoder's skips, full resolution first."""
    encoder: Any = encoder_and_decoder(network, trainer)[0]
    return [int(count) for count in encoder.output_channels]
