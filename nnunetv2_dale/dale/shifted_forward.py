"""A forward at θ_n + t·v whose graph serves the update of θ_n: the difference of Eq. 11 and line 13 share it.

The one-sided difference of `label_confidence` needs the fuzzy view's logits a small step along v away. Made by the
network itself, with a graph, the same forward can start the update on the fuzzy view: nothing has to be held for it
while the look-ahead runs, and nothing is computed twice. The update's gradient is then taken 1e-4 of the weights' norm
(1e-3 in half precision) away from θ_n; docs/evidence/performance.md has what that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nnunetv2_dale.dale.masked_loss import Outputs


class ShiftedForward:
    """Runs a network at weights shifted in place, which are back at θ_n when the optimizer steps.

    Args:
        forward: images to logits, of the network that is trained.
        parameters: its trainable weights, θ_n.
        spare: tensors of the same shapes, overwritten: θ_n is kept there.
        optimizer: of these weights; its step undoes the shift first.
    """

    def __init__(
        self,
        forward: Callable[[Tensor], Outputs],
        parameters: Sequence[Tensor],
        spare: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self._forward, self._parameters, self._kept = forward, list(parameters), list(spare)
        self._shifted = False
        optimizer.register_step_pre_hook(lambda *_: self.undo())

    @torch.no_grad()
    def shift(self, direction: Sequence[Tensor], distance: Tensor) -> None:
        """Set the weights to θ_n + distance · direction; a direction that is not finite leaves them at θ_n.

        Args:
            distance: scalar; 0 or not finite where the direction is not, as `shift_length` makes it.
        """
        torch._foreach_copy_(self._kept, self._parameters)
        self._shifted = True
        possible = torch.isfinite(distance) & (distance > 0)  # on the device: nothing waits for it
        for weight, kept, along in zip(self._parameters, self._kept, direction, strict=True):
            torch.where(possible, torch.addcmul(kept, along, distance), kept, out=weight)

    def __call__(self, images: Tensor, direction: Sequence[Tensor], distance: Tensor) -> Outputs:
        """Logits of (B, C, *S) images at θ_n + distance · direction, with their graph; the weights stay there."""
        self.shift(direction, distance)
        return self._forward(images)

    @torch.no_grad()
    def undo(self) -> None:
        """Set the weights back to θ_n, bit by bit; nothing to do where they are."""
        if self._shifted:
            torch._foreach_copy_(self._parameters, self._kept)
            self._shifted = False
