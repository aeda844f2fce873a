"""A trust of labels from outside that is the same whatever it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from nnunetv2_dale.dale.label_trust import LabelTrust
from nnunetv2_dale.dale.masked_loss import Outputs, full_resolution


class FixedTrust(LabelTrust):
    """Notes what it was asked for whole batches.

    Args:
        trust: (B, 1, *S), or None.
    """

    def __init__(self, trust: Tensor | None) -> None:
        self.trust = trust
        self.asked: list[Any] = []

    def weigh(self, outputs: Outputs, targets: Outputs, cases: Sequence[str] | None) -> Tensor | None:
        return self.trust

    def observe_and_weigh(
        self, images: Tensor, outputs: Outputs, targets: Outputs, cases: Sequence[str] | None
    ) -> Tensor | None:
        self.asked.append((images.shape, full_resolution(outputs).shape, full_resolution(targets).shape, cases))
        return self.trust
