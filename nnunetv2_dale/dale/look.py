"""What DALE sees in a batch, without learning from it: for pictures, and to judge ω."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.masked_loss import Outputs, full_resolution, weighted_loss
from nnunetv2_dale.dale.partition import PartitionedBatch


@dataclass(frozen=True)
class Look:
    """One batch as an iteration of Algorithm 1 sees it at the present weights."""

    batch: PartitionedBatch  # the fuzziness, the views and their voxels
    meta: Tensor  # ω by meta steps (Eqs. 8-11), (B, 1, *S)
    case: Tensor  # the trust of the cases, (B, 1, *S); 1 without one
    alignment: Tensor  # L_W, scalar
    features: Tensor | None  # of the fuzzy view, before the head, (B, F, *S), detached; None where nothing needs them

    @property
    def omega(self) -> Tensor:
        """ω* = meta · case."""
        return self.meta * self.case


def look_at(step: AlternatingStep, images: Tensor, targets: Outputs, cases: Sequence[str] | None = None) -> Look:
    """Lines 3 to 12 of Algorithm 1 with θ in place of θ_n. No update is made, and nothing is remembered.

    The network is put into training mode meanwhile: running statistics of a batch norm would move.

    Args:
        images, targets, cases: of `AlternatingStep`.
    """
    kept = copy.deepcopy((step.partition.intensities, step.confidence.average)), step.alignment.reference
    generator = step.alignment.generator
    random_state = None if generator is None else generator.get_state()
    was_training = step.network.training
    step.network.train()
    target = full_resolution(targets)
    batch = step.partition(images, target)

    step.optimizer.zero_grad(set_to_none=True)
    outputs = step.forward(batch.non_fuzzy.images)
    step.alignment.see_non_fuzzy(target, batch.non_fuzzy_voxels)
    clear_trust = None if step.label_trust is None else step.label_trust(outputs, target, cases)
    loss = weighted_loss(step.loss, outputs, targets, batch.non_fuzzy, clear_trust)
    loss.backward()  # type: ignore[no-untyped-call]

    outputs = step.forward(batch.fuzzy.images)
    features = step.alignment.features()
    trust = None if step.label_trust is None else step.label_trust(outputs, target, cases)
    meta, outputs = step.confidence(outputs, targets, batch.fuzzy, batch.non_fuzzy, clear_trust, features)
    features = step.alignment.latest(features)
    case = torch.ones_like(meta.weights) if trust is None else trust
    fuzzy_loss = weighted_loss(step.loss, outputs, targets, batch.fuzzy, meta.weights * case)
    clean = batch.clean_fuzzy_voxels(meta.weights * case >= 1)
    alignment = step.alignment(features, target, clean, fuzzy_loss, outputs)

    step.confidence.after_update()
    step.network.train(was_training)
    if generator is not None and random_state is not None:
        generator.set_state(random_state)
    step.optimizer.zero_grad(set_to_none=True)
    (step.partition.intensities, step.confidence.average), step.alignment.reference = kept
    kept_features = None if features is None else features.detach()
    return Look(batch, meta.weights, case, alignment.distance.detach(), kept_features)
