"""What happened in one training iteration, kept on the device so that nothing waits for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

HISTOGRAM_BINS = 10  # of ω, from 0 to 2


@dataclass(frozen=True)
class StepRecord:
    """Any iteration: scalars, of which all kinds have this one."""

    loss: Tensor  # mean of what the updates minimised, without L_W


@dataclass(frozen=True)
class WholeBatch(StepRecord):
    """A plain update on a whole batch."""

    case_mean: Tensor | None = None  # of the trust of the cases; None while all are trusted
    case_std: Tensor | None = None


@dataclass(frozen=True)
class AlternatingRecord(StepRecord):
    """An iteration of Algorithm 1; its last number is a histogram."""

    non_fuzzy_loss: Tensor  # L_n (Eq. 1), before the first update
    fuzzy_loss: Tensor  # L of the fuzzy view weighted by ω*, without L_W, before the second update
    alignment: Tensor  # L_W (Eq. 14); 0 while it is off
    alignment_share: Tensor  # norm of L_W's gradient over that of the segmentation's, at the features
    confidence_mean: Tensor  # of ω* = meta · case
    confidence_std: Tensor
    meta_mean: Tensor  # of what the meta step makes of ω (Eqs. 8–11)
    meta_std: Tensor
    case_mean: Tensor  # of the trust of the cases; 1 without one
    case_std: Tensor
    fuzzy_fraction: Tensor  # voxels with m >= τ
    noisy_fraction: Tensor  # voxels whose ω fell, of the fuzzy ones
    non_finite: Tensor  # 1 where the meta step met a non-finite gradient, else 0
    confidence_histogram: Tensor  # (HISTOGRAM_BINS,) fractions of the voxels, ω from 0 to 2


def spread_of(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of (B, 1, *S) weights of voxels."""
    return weights.mean(), weights.std(correction=0)


def histogram_of(omega: Tensor) -> Tensor:
    """Return fractions of (B, 1, *S) ω in equal bins from 0 to 2, (HISTOGRAM_BINS,)."""
    counts = torch.histc(omega.clamp(0, 2), HISTOGRAM_BINS, 0, 2)
    return counts / counts.sum()
