"""The confidence ω of a batch, and one step of it along its gradient (Eqs. 10 and 11)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nnunetv2_dale.dale.hypergradient import FuzzyPass
from nnunetv2_dale.dale.masked_loss import full_resolution


@dataclass(frozen=True)
class LabelConfidence:
    """ω* of one batch."""

    omega: Tensor  # (B, 1, *S) float32, >= 0
    non_finite: Tensor  # bool scalar: a gradient was not finite; then ω* is ω₀

    @classmethod
    def first(cls, fuzzy: FuzzyPass) -> LabelConfidence:
        """Return ω₀ at every voxel of the full resolution: what is given, else 1."""
        logits = full_resolution(fuzzy.outputs).detach()
        dtype = torch.promote_types(logits.dtype, torch.float32)
        omega = torch.ones_like(logits[:, :1], dtype=dtype) if fuzzy.omega is None else fuzzy.omega.to(dtype)
        return cls(omega, torch.zeros((), dtype=torch.bool, device=logits.device))

    def stepped(self, gradient: Tensor, confidence_lr: float) -> LabelConfidence:
        """Return ω after a step of Eq. 11 along ∂L_n/∂ω."""
        non_finite = self.non_finite | ~torch.isfinite(gradient).all()
        return LabelConfidence(confidence_step(self.omega, gradient, confidence_lr), non_finite)

    def finished(self, first: LabelConfidence) -> LabelConfidence:
        """Return ω after the last step: ω₀ where a gradient was not finite."""
        return LabelConfidence(torch.where(self.non_finite, first.omega, self.omega), self.non_finite)


def confidence_step(omega: Tensor, gradient: Tensor, confidence_lr: float) -> Tensor:
    """Return ω − confidence_lr · clamp(g / rms(g), −1, 1), clamped at 0 (Eqs. 10–11, made scale-free).

    Eq. 11's gradient per voxel is of the order η / voxels, far below any fixed step; divided by its RMS over the
    image it is of order 1. ω rises where the voxel's gradient agrees with the non-fuzzy one.

    Args:
        omega: ω, (B, 1, *S).
        gradient: ∂L_n/∂ω, same shape; an image of zeros leaves its ω as it is.
        confidence_lr: the most a voxel's ω moves.
    """
    axes = tuple(range(1, gradient.ndim))
    tiny = torch.finfo(gradient.dtype).tiny
    relative = gradient / gradient.abs().amax(dim=axes, keepdim=True).clamp_min(tiny)  # squares cannot underflow
    rms = relative.square().mean(dim=axes, keepdim=True).sqrt().clamp_min(tiny)
    return (omega - confidence_lr * (relative / rms).clamp(-1, 1)).clamp_min(0)
