"""v as a moving average over iterations. Not in the paper."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_dale.dale.hypergradient import norm_of


class GradientAverage:
    """v as a moving average over iterations: one batch's gradient is noise to what the next ones would say.

    The meta step does not depend on v's length, so the sum needs no correction for its start.

    Args:
        memory: in [0, 1), what a gradient leaves of the ones before; 0: each gradient alone.
    """

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self.forget()

    def forget(self) -> None:
        """Start anew with the next gradient."""
        self._sum: list[Tensor] | None = None

    @torch.no_grad()
    def __call__(self, gradient: Sequence[Tensor]) -> Sequence[Tensor]:
        """The average with this gradient; the gradient itself, and no trace of it, where it is not finite."""
        if self._memory == 0:
            return gradient
        if self._sum is None:
            self._sum = [torch.zeros_like(part) for part in gradient]
        finite = torch.isfinite(norm_of(gradient))
        torch._foreach_mul_(self._sum, self._memory)
        added = [torch.where(finite, part, 0.0) for part in gradient]
        torch._foreach_add_(self._sum, added, alpha=1 - self._memory)
        return [torch.where(finite, average, part) for average, part in zip(self._sum, gradient, strict=True)]
