"""What DALE sees in a batch, without learning from it: for pictures, and to judge ω."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.masked_loss import Outputs
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
    """Run lines 3 to 12 of Algorithm 1 with θ in place of θ_n. No update is made, and nothing is remembered.

    The network is put into training mode meanwhile: running statistics of a batch norm would move.

    Args:
        images, targets, cases: of `AlternatingStep`.
    """
    kept = copy.deepcopy((step.partition.intensities, step.confidence.average)), step.alignment.reference
    generator, update, was_training = step.alignment.generator, step.update, step.network.training
    random_state = None if generator is None else generator.get_state()
    step.network.train()
    step.update = Tensor.backward  # line 5 leaves its gradients and makes no step
    try:
        seen = step.see_both_views(images, targets, cases)
    finally:
        step.update = update
        step.confidence.after_update()
        step.network.train(was_training)
        if generator is not None and random_state is not None:
            generator.set_state(random_state)
        step.optimizer.zero_grad(set_to_none=True)
        (step.partition.intensities, step.confidence.average), step.alignment.reference = kept
    features = None if seen.features is None else seen.features.detach()
    return Look(seen.batch, seen.meta.omega, seen.trust, seen.alignment.distance.detach(), features)
