"""Has the network found its classes? The mean probability that each class has in its own voxels.

Not in the paper. The meta step and the alignment mean nothing before the network knows its classes, and a masked view
teaches a network that does not to call everything background (docs/paper_to_code.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from nnunetv2_dale.dale.marginal_loss import class_weight_of, exact, marginal_logits
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution

MEMORY = 0.9  # what a batch leaves of the ones before


@torch.no_grad()
def class_sums(outputs: Outputs, targets: Outputs, loss: MaskedLoss) -> Tensor:
    """Return (2, K): per class or region, the sum of its probability over its voxels, and their number; of all ranks.

    Args:
        outputs: logits, full resolution first.
        targets: full resolution first.
        loss: says what the target is: label map or regions, what is ignored, and whether there are ranks.
    """
    logits, target = exact(full_resolution(outputs)), full_resolution(targets)
    logits = marginal_logits(logits, class_weight_of(targets), loss.regions)
    labels, valid = loss.labels(target), loss.counted(targets)
    counts = torch.ones_like(logits[:, :1]) if valid is None else valid.to(logits.dtype)
    if loss.regions:
        inside = (labels > 0.5) * counts
        sums = torch.stack([(each * inside).transpose(0, 1).flatten(1).sum(1) for each in (logits.sigmoid(), inside)])
    else:
        own = logits.log_softmax(1).gather(1, labels.long()).exp()
        index = labels.flatten().long()
        none = logits.new_zeros(logits.shape[1])
        sums = torch.stack([none.scatter_add(0, index, each.flatten()) for each in (own * counts, counts)])
    if loss.distributed:
        distributed.all_reduce(sums)
    return sums


class LearnedClasses:
    """The mean probabilities as a moving average over batches, on the host.

    Args:
        threshold: from which mean probability on a class counts as learned.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._sums: list[list[float]] = []

    def observe(self, sums: Sequence[Sequence[float]]) -> None:
        """Remember one batch's `class_sums`; one that is not finite (half precision) would never be forgotten."""
        if not all(math.isfinite(value) for part in sums for value in part):
            return
        before = self._sums or [[0.0] * len(part) for part in sums]
        self._sums = [
            [MEMORY * old + new for old, new in zip(*parts, strict=True)] for parts in zip(before, sums, strict=True)
        ]

    @property
    def probabilities(self) -> list[float]:
        """Per class; NaN where no batch has shown it."""
        if not self._sums:
            return []
        return [found / count if count > 0 else math.nan for found, count in zip(*self._sums, strict=True)]

    def below(self, threshold: float) -> list[int]:
        """Return the classes that have been shown and have less than `threshold`."""
        return [index for index, value in enumerate(self.probabilities) if value < threshold]

    def at_least(self, threshold: float) -> list[int]:
        """Return the classes that have been shown and have at least `threshold`."""
        return [index for index, value in enumerate(self.probabilities) if value >= threshold]

    @property
    def voxels(self) -> list[float]:
        """Per class the moving number of voxels that its probability was taken over."""
        return self._sums[1] if self._sums else []

    def restore(self, probabilities: Sequence[float], voxels: Sequence[float]) -> None:
        """Go on from the two lists of an earlier state."""
        found = [value * count if count > 0 else 0.0 for value, count in zip(probabilities, voxels, strict=True)]
        self._sums = [found, list(voxels)] if found else []
