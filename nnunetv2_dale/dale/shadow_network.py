"""A network at weights beside θ_n: a copy for the pseudo-step (line 6 of Algorithm 1), or itself, shifted and back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.masked_loss import Outputs


class ShadowNetwork:
    """A' of line 6: a deep copy made once, whose weights are set in place.

    Args:
        network: the plain module, neither compiled nor wrapped.
        compiled: run the copy's forward through torch.compile.
        autocast: makes the context of a forward.
    """

    def __init__(
        self,
        network: nn.Module,
        compiled: bool = False,
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.module = copy.deepcopy(network)
        self.weights: list[Tensor] = [weight for weight in self.module.parameters() if weight.requires_grad]
        self._run: Callable[[Tensor], Outputs] = torch.compile(self.module) if compiled else self.module
        self._autocast = autocast
        self._buffers = list(zip(self.module.buffers(), network.buffers(), strict=True))

    def forward(self, images: Tensor) -> Outputs:
        """Return logits of (B, C, *S) images at the weights of the last `place`."""
        with self._autocast():
            return self._run(images)

    @torch.no_grad()
    def place(self, origin: Sequence[Tensor], direction: Sequence[Tensor], distance: float | Tensor) -> None:
        """Set the weights to `origin + distance · direction`."""
        torch._foreach_copy_(self.weights, list(direction))
        torch._foreach_mul_(self.weights, distance)
        torch._foreach_add_(self.weights, list(origin))
        for buffer, source in self._buffers:
            buffer.copy_(source)


class ShiftedWeights:
    """Shifts a network's own weights in place; they are back at θ_n when the optimizer steps.

    The one-sided difference of Eq. 11 needs the fuzzy view's logits a small step along v away. Made by the network
    itself, with a graph, the same forward can start the update on the fuzzy view: nothing has to be held for it while
    the look-ahead runs, and nothing is computed twice. The update's gradient is then taken 1e-4 of the weights' norm
    (1e-3 in half precision) away from θ_n; docs/evidence/performance.md has what that changes.

    Args:
        weights: the trainable ones, θ_n.
        spare: tensors of the same shapes, overwritten: θ_n is kept there.
        optimizer: of these weights; its step undoes the shift first.
    """

    def __init__(self, weights: Sequence[Tensor], spare: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> None:
        self._weights, self._kept = list(weights), list(spare)
        self._shifted = False
        optimizer.register_step_pre_hook(lambda *_: self.undo())

    @torch.no_grad()
    def shift(self, direction: Sequence[Tensor], distance: Tensor) -> None:
        """Set the weights to θ_n + distance · direction; a direction that is not finite leaves them at θ_n.

        Args:
            distance: scalar; 0 or not finite where the direction is not, as `shift_length` makes it.
        """
        torch._foreach_copy_(self._kept, self._weights)
        self._shifted = True
        possible = torch.isfinite(distance) & (distance > 0)  # on the device: nothing waits for it
        for weight, kept, along in zip(self._weights, self._kept, direction, strict=True):
            torch.where(possible, torch.addcmul(kept, along, distance), kept, out=weight)

    @torch.no_grad()
    def undo(self) -> None:
        """Set the weights back to θ_n, bit by bit; nothing to do where they are."""
        if self._shifted:
            torch._foreach_copy_(self._weights, self._kept)
            self._shifted = False


def allow_two_backwards_through_compiled_networks() -> None:
    """Change two settings of torch.compile, in the versions that have them, before the first forward.

    The fuzzy graph is run backward twice, by the pseudo-step and by the update. And a network that is compiled would
    run what was compiled for its shadow, which has no hook that keeps the features; or for another training of this
    process, which is forgotten.
    """
    for settings, name in (
        (torch._functorch.config, "donated_buffer"),
        (torch._dynamo.config, "skip_nnmodule_hook_guards"),
    ):
        if hasattr(settings, name):
            setattr(settings, name, False)
    torch._dynamo.reset()
