"""Targets of which more is known: how far each label may be trusted, and which classes were drawn. Not in the paper.

Where nobody annotated some classes of a label map, what it calls background may be one of them. The probability of
background becomes that of background or one of them (Shi et al., *Marginal loss and exclusion loss for partially
supervised multi-organ segmentation*, Medical Image Analysis 70, 2021):

    q_0 = p_0 + Σ_{k not annotated} p_k,    q_k = 0 for these k,    q_k = p_k for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

Outputs = Tensor | Sequence[Tensor]


class KnownTargets(list[Tensor]):
    """The targets of all resolutions, full resolution first, with what people know about them.

    Attributes:
        confidence: c, (B, 1, *S) in [0, 1] at full resolution; None is 1.
        class_weight: (B, K) in [0, 1]: the weight of each sample's case, and 0 for a class that is not annotated in it;
            background of label maps, class 0, always is. None is 1.
    """

    def __init__(
        self, targets: Iterable[Tensor], confidence: Tensor | None = None, class_weight: Tensor | None = None
    ) -> None:
        super().__init__(targets)
        self.confidence, self.class_weight = confidence, class_weight

    @classmethod
    def of(
        cls, targets: Iterable[Tensor], confidence: Tensor | None, class_weight: Tensor | None, regions: bool
    ) -> KnownTargets:
        """With labels of classes that are not annotated, which a part of an object may have, made background.

        Args:
            targets: label maps (B, 1, *S); or regions (B, R, *S), after which an ignore channel may follow.
        """
        if class_weight is not None:
            targets = [_annotated(target, class_weight == 0, regions) for target in targets]
        return cls(targets, confidence, class_weight)


def confidence_of(targets: object) -> Tensor | None:
    """c, (B, 1, *S), where it is given."""
    return targets.confidence if isinstance(targets, KnownTargets) else None


def without_confidence(targets: Outputs) -> Outputs:
    """The targets for a loss whose weights hold c already."""
    return KnownTargets(targets, None, targets.class_weight) if isinstance(targets, KnownTargets) else targets


def class_weight_of(targets: object) -> Tensor | None:
    """The weight of each class in each sample, (B, K), where one is given."""
    return targets.class_weight if isinstance(targets, KnownTargets) else None


def marginal_logits(logits: Tensor, class_weight: Tensor | None, regions: bool) -> Tensor:
    """Logits of q: classes without weight have probability 0, which in label maps becomes background's.

    Background's logit is the log-sum-exp of its own and of theirs. A sample in which every class has weight keeps its
    logits bit by bit.

    Args:
        logits: (B, K, *S) of float32 or float64.
        class_weight: (B, K); None is 1.
    """
    if class_weight is None:
        return logits
    missing = like(class_weight == 0, logits)
    nothing = torch.finfo(logits.dtype).min / 2  # its probability is 0, its differences and products are finite
    if regions:
        return logits.masked_fill(missing, nothing)
    background = missing.clone()
    background[:, 0] = True
    merged = logits.masked_fill(~background, nothing).logsumexp(dim=1, keepdim=True)
    return torch.cat([merged, logits[:, 1:].masked_fill(missing[:, 1:], nothing)], dim=1)


def _annotated(target: Tensor, missing: Tensor, regions: bool) -> Tensor:
    """The target without the (B, K) missing classes."""
    classes = missing.shape[1]
    if regions:
        return torch.cat([target[:, :classes] * ~like(missing, target), target[:, classes:]], dim=1)
    ignored = target >= classes
    index = torch.where(ignored, 0, target).flatten(1).long()
    return torch.where(missing.gather(1, index).view_as(target) & ~ignored, 0, target)


def like(values: Tensor, maps: Tensor) -> Tensor:
    """(B,) or (B, K) values with as many axes as (B, K, *S) maps, to be multiplied with them."""
    return values.reshape(*values.shape, *(1,) * (maps.ndim - values.ndim))


def exact(values: Tensor) -> Tensor:
    """The values in float32 at least, where half precision would round or overflow."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
