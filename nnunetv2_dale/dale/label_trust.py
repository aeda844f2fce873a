"""What labels are worth besides ω, as a step of DALE asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from nnunetv2_dale.dale.marginal_loss import Outputs


class LabelTrust(Protocol):
    """What each label is worth besides ω, from outside the paper: (B, 1, *S) in [0, 1]; None: all alike.

    Asked with the logits of a forward, the targets, full resolution first, and the names of the cases.
    """

    def weigh(self, outputs: Outputs, targets: Outputs, cases: Sequence[str] | None) -> Tensor | None:
        """Return it for a view of Algorithm 1."""

    def observe_and_weigh(
        self, images: Tensor, outputs: Outputs, targets: Outputs, cases: Sequence[str] | None
    ) -> Tensor | None:
        """Return it for a whole batch, which may teach what later labels are worth."""
