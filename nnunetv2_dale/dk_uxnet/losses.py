"""The losses of a batch of labelled and unlabelled crops: supervision where there are labels, agreement everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_dale.dale.marginal_loss import KnownTargets, class_weight_of, confidence_of, like
from nnunetv2_dale.dk_uxnet.agreement import query_contrast, view_disagreement
from nnunetv2_dale.dk_uxnet.query_groups import group_log_probabilities, group_loss
from nnunetv2_dale.dk_uxnet.query_maps import Queries, query_maps

# logits (M, K, *S_l) and labels (M, 1, *S_l) of each resolution, full resolution first, and which samples have labels
# (M,) → a scalar; 0 without a labelled sample
SupervisedLoss = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], Tensor]


class Outputs(NamedTuple):
    """All that the losses need of a forward pass."""

    convolution_logits: Sequence[Tensor]  # (B, K, *S_l) of each resolution that is supervised, full resolution first
    queries: Queries
    assignments: list[Tensor]  # (B, N, *S_l), the logits of each k-means layer, in its own resolution


@dataclass(frozen=True)
class LossTerms:
    """The terms of a batch, before their weights, and what an epoch's log says beside them. Scalars."""

    convolution: Tensor  # supervised loss of the convolutional segmentation
    query: Tensor  # supervised loss of the query segmentation
    groups: Tensor  # L_qd at full resolution
    layers: Tensor  # L_qd of the k-means layers, their mean
    segmentation_agreement: Tensor  # L_segc
    query_agreement: Tensor  # L_qdc
    labelled: Tensor  # part of the samples that have labels
    queries_used: Tensor  # part of the queries that win a voxel in the last k-means layer

    def total(self, group_weight: float, agreement_weight: float) -> Tensor:
        """L = L_conv + L_query + λ_g (L_qd + mean of the layers' L_qd) + λ_a (L_segc + L_qdc)."""
        agreement = self.segmentation_agreement + self.query_agreement
        return self.convolution + self.query + group_weight * (self.groups + self.layers) + agreement_weight * agreement


def loss_terms(
    outputs: Outputs,
    labels: Sequence[Tensor],
    labelled: Tensor,
    *,
    sizes: Sequence[int],
    ignore_label: int,
    supervised: SupervisedLoss,
    temperature: float,
) -> LossTerms:
    """Return the terms for the two views of a batch.

    Every output takes part in a term whatever the batch holds, with a gradient of 0 where nothing is to be learned:
    distributed training needs all gradients.

    Args:
        outputs: of 2B images: the weak views of the batch, then the strong views in the same order.
        labels: (B, 1, *S_l) for each resolution of the convolutional outputs; or `KnownTargets`.
        labelled: (B,) bool. What an unlabelled sample has in `labels` is not looked at.
        sizes: of the query groups.
        temperature: of the query agreement.
    """
    both = torch.cat([labelled, labelled])
    known = [
        None if each is None else torch.cat([each, each]) for each in (confidence_of(labels), class_weight_of(labels))
    ]
    targets = KnownTargets((_without(each, labelled, ignore_label) for each in labels), *known)
    target = targets[0]
    maps = query_maps(outputs.queries, sizes)
    layers = [
        group_loss(group_log_probabilities(each, sizes), target, ignore_label, *known) for each in outputs.assignments
    ]
    weak, strong = outputs.convolution_logits[0].softmax(dim=1).chunk(2)
    return LossTerms(
        convolution=supervised(outputs.convolution_logits, targets, both),
        query=supervised([maps.logits], KnownTargets([target], *known), both),
        groups=group_loss(maps.groups, target, ignore_label, *known),
        layers=torch.stack(layers).mean(),
        segmentation_agreement=view_disagreement(strong, weak),
        query_agreement=query_contrast(maps.similarity, maps.weak_shares, sizes, temperature),
        labelled=labelled.float().mean(),
        queries_used=_used(outputs.assignments[-1]),
    )


def _without(labels: Tensor, labelled: Tensor, ignore_label: int) -> Tensor:
    """The labels for both views, (2B, 1, *S); those of unlabelled samples are all ignored."""
    shown = torch.where(like(labelled, labels), labels, torch.full_like(labels, ignore_label))
    return torch.cat([shown, shown])


@torch.no_grad()
def _used(assignment: Tensor) -> Tensor:
    """Return the part of the queries, over all samples, that at least one voxel goes to."""
    best = assignment.flatten(2).argmax(dim=1)
    return torch.zeros(assignment.shape[:2], device=assignment.device).scatter_(1, best, 1.0).mean()
