"""What happened in one training iteration, kept on the device so that nothing waits for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

HISTOGRAM_BINS = 10  # of ω, from 0 to 2


@dataclass(frozen=True)
class StepRecord:
    """Scalars of an iteration; None where a batch was not split, and there is nothing of the kind."""

    loss: Tensor  # mean of what the updates minimised, without L_W
    non_fuzzy_loss: Tensor | None = None  # L_n (Eq. 1), before the first update
    fuzzy_loss: Tensor | None = None  # L of the fuzzy view weighted by ω*, without L_W, before the second update
    alignment: Tensor | None = None  # L_W (Eq. 14); 0 while it is off
    alignment_share: Tensor | None = None  # norm of L_W's gradient over that of the segmentation's, at the features
    confidence_mean: Tensor | None = None  # of ω* = meta · case
    confidence_std: Tensor | None = None
    meta_mean: Tensor | None = None  # of what the meta step makes of ω (Eqs. 8–11)
    meta_std: Tensor | None = None
    case_mean: Tensor | None = None  # of the trust of the cases; 1 without one
    case_std: Tensor | None = None
    fuzzy_fraction: Tensor | None = None  # voxels with m >= τ
    noisy_fraction: Tensor | None = None  # voxels whose ω fell, of the fuzzy ones
    non_finite: Tensor | None = None  # 1 where the meta step met a non-finite gradient, else 0
    confidence_histogram: Tensor | None = None  # (HISTOGRAM_BINS,) fractions of the voxels, ω from 0 to 2


def spread_of(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of (B, 1, *S) weights."""
    return weights.mean(), weights.std(correction=0)


def histogram_of(weights: Tensor) -> Tensor:
    """Fractions of (B, 1, *S) weights in equal bins from 0 to 2, (HISTOGRAM_BINS,)."""
    counts = torch.histc(weights.clamp(0, 2), HISTOGRAM_BINS, 0, 2)
    return counts / counts.sum()
