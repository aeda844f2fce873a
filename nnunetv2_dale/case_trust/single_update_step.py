"""Training iterations of one update per batch: DALE's partition and confidence at the price of plain nnU-Net.

Not in the paper, whose Algorithm 1 updates twice per batch (`alternating_step`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from nnunetv2_dale.dale.alternating_step import AlternatingStep, StepRecord, both, full_confidence, record
from nnunetv2_dale.dale.feature_alignment import ClassGaussians
from nnunetv2_dale.dale.fuzziness import View
from nnunetv2_dale.dale.masked_loss import Outputs

_LOGGED_EVERY = 10  # batches


@dataclass
class SingleUpdateStep(AlternatingStep):
    """One update per batch, on the view that `config.updates` says.

    "whole_batch": image and label untouched, every voxel weighted by ω. Both Gaussians of L_W come from the same
    features, and the masks of Eq. 6 are not used: the partition tells which voxels ω may weigh
    (`config.confidence_scope`).

    "one_view": the non-fuzzy view of one batch, the fuzzy view of the next, and so on. L_W compares the fuzzy view with
    the batch before.

    The record's two losses are both that of the one update.
    """

    _fuzzy_is_next: bool = field(default=False, init=False, repr=False)
    _reference: ClassGaussians | None = field(default=None, init=False, repr=False)
    _is_fuzzy: Tensor | None = field(default=None, init=False, repr=False)
    _age: int = field(default=0, init=False, repr=False)  # of _is_fuzzy, in batches

    def __call__(self, images: Tensor, targets: Outputs, cases: Sequence[str] | None = None) -> StepRecord:
        target = targets if isinstance(targets, Tensor) else targets[0]
        valid = self.loss.valid(target)
        whole = self.config.updates == "whole_batch"
        fuzzy = whole or self._fuzzy_is_next
        m, is_fuzzy = self._fuzzy_patches(images, target)
        view = View(images, None, None) if m is None else self._views(images, m)[0 if fuzzy else 1]
        self._fuzzy_is_next = not fuzzy

        self.optimizer.zero_grad(set_to_none=True)
        outputs = self._forward(self.network, view.images)
        confidence = full_confidence(outputs)
        if fuzzy:
            confidence = self._confidence(confidence, outputs, target, is_fuzzy, cases)

        features = self._features()
        if whole or not fuzzy:
            self._reference = self._gaussians(features, target, both(~is_fuzzy, valid))
        clean = both(is_fuzzy & confidence.clean, valid)
        in_fuzzy_view = self._gaussians(features, target, clean) if fuzzy else None
        alignment = self._alignment(self._reference, in_fuzzy_view)

        loss = self._loss(self.loss, outputs, targets, view, confidence.weights if fuzzy else None)
        weighted_alignment = self.config.alignment_weight * confidence.weights.mean() * alignment
        self._update(loss + weighted_alignment)
        return record(loss, loss, alignment, confidence, is_fuzzy, self.config)

    def _fuzzy_patches(self, images: Tensor, target: Tensor) -> tuple[Tensor | None, Tensor]:
        """m and m >= τ. Where only the log needs them, m >= τ is that of one batch in ten."""
        whole = self.config.updates == "whole_batch"
        aligns = self._tap is not None and self.align
        for_log_only = whole and self.config.confidence_scope == "everywhere" and not aligns
        last, shape = self._is_fuzzy, (len(images), 1, *images.shape[2:])
        if for_log_only and last is not None and last.shape == shape and self._age < _LOGGED_EVERY:
            self._age += 1
            return None, last
        m = self._fuzziness(images, target)
        self._is_fuzzy, self._age = m >= self.config.fuzzy_threshold, 1
        return (None if whole else m), self._is_fuzzy
