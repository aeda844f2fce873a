"""The copy of the network on which the meta step tries its pseudo-step (line 6 of Algorithm 1)."""

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
        self.names = [name for name, weight in self.module.named_parameters() if weight.requires_grad]
        self.parameters: list[Tensor] = [weight for weight in self.module.parameters() if weight.requires_grad]
        self._run: Callable[[Tensor], Outputs] = torch.compile(self.module) if compiled else self.module
        self._autocast = autocast
        self._buffers = list(zip(self.module.buffers(), network.buffers(), strict=True))

    def forward(self, images: Tensor) -> Outputs:
        """Logits of (B, C, *S) images at the weights of the last `place`."""
        with self._autocast():
            return self._run(images)

    @torch.no_grad()
    def place(self, origin: Sequence[Tensor], direction: Sequence[Tensor], distance: float | Tensor) -> None:
        """Set the weights to `origin + distance · direction`."""
        torch._foreach_copy_(self.parameters, list(direction))
        torch._foreach_mul_(self.parameters, distance)
        torch._foreach_add_(self.parameters, list(origin))
        for buffer, source in self._buffers:
            buffer.copy_(source)


def allow_two_backwards_through_compiled_networks() -> None:
    """Change two settings of torch.compile, in the versions that have them, before the first forward.

    The fuzzy graph is run backward twice, by the pseudo-step and by the update. And a network that is compiled would
    run what was compiled for its shadow, which has no hook that keeps the features.
    """
    for settings, name in (
        (torch._functorch.config, "donated_buffer"),
        (torch._dynamo.config, "skip_nnmodule_hook_guards"),
    ):
        if hasattr(settings, name):
            setattr(settings, name, False)
