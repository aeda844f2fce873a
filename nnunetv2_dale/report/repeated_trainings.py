"""Two trainers by several trainings each: the interval over trainings and cases, and the t-test over trials.

A hierarchical bootstrap (trainings of each side, and cases, all drawn anew) rather than a mixed model with crossed
random effects: it asks for no normal Dice, takes patients as clusters and HD95 as it is, never fails to converge with
three trainings, and does all rows of a report in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nnunetv2_dale.report.paired_statistics import Floats, patient_index, spread_of


@dataclass(frozen=True)
class TrainingStatistics:
    """Candidate − baseline over trainings and cases. None: not defined (fewer than 2 trainings a side, or 2 cases)."""

    ci95: tuple[float, float] | None
    p_trials: float | None
    sd_trainings_baseline: float | None
    sd_trainings: float | None


def training_statistics(
    baseline: Floats, candidate: Floats, patients: Sequence[str] | None = None, resamples: int = 9999, seed: int = 0
) -> TrainingStatistics:
    """Compare two trainers.

    Args:
        baseline, candidate: (T_b, N) and (T_c, N), a value of each training and case, finite.
        patients: (N,) patient of each case; None: every case is its own.
        resamples, seed: of the bootstrap.
    """
    trials = [side.mean(axis=1) if side.shape[1] else np.empty(0) for side in (baseline, candidate)]
    p_trials = None
    if len(trials[0]) == len(trials[1]) > 1 and np.ptp(trials[1] - trials[0]) > 1e-9:  # rounding is no spread
        p_trials = float(stats.ttest_rel(trials[1], trials[0]).pvalue)
    ci95 = interval(baseline, candidate, patients, resamples, seed)
    return TrainingStatistics(ci95, p_trials, *map(spread_of, trials))


def interval(
    baseline: Floats, candidate: Floats, patients: Sequence[str] | None = None, resamples: int = 9999, seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of the difference of the means over trainings and cases.

    Percentiles of the hierarchical bootstrap. Few trainings spread too little in it, by sqrt((T - 1) / T) (Davison and
    Hinkley 1997, section 3.8), so each side's are set apart by its inverse; and the percentiles are widened by t / z,
    with Welch and Satterthwaite's degrees of freedom of the three variances (two sides, cases).

    None for fewer than 2 trainings a side or 2 cases or patients.
    """
    if min(len(baseline), len(candidate)) < 2:
        return None
    index = np.arange(baseline.shape[1]) if patients is None else patient_index(patients)
    counts = np.bincount(index).astype(np.float64)
    if len(counts) < 2:
        return None
    sides = [_set_apart(side) for side in (baseline, candidate)]
    difference = float(candidate.mean() - baseline.mean())
    rng = np.random.default_rng(seed)
    drawn_cases = _drawn(rng, resamples, len(counts))
    means = []
    for side in sides:
        totals = np.array([np.bincount(index, weights=row) for row in side])  # (T, patients)
        trainings = _drawn(rng, resamples, len(side)) / len(side)
        means.append(((trainings @ totals) * drawn_cases).sum(axis=1) / (drawn_cases @ counts))
    low, high = np.quantile(means[1] - means[0] - difference, [0.025, 0.975])
    degrees = _degrees_of_freedom(baseline, candidate, index)
    wider = 1.0 if degrees is None else stats.t.ppf(0.975, degrees) / stats.norm.ppf(0.975)
    return difference + wider * float(low), difference + wider * float(high)


def _set_apart(side: Floats) -> Floats:
    """The trainings of a side with their means further apart, so that the bootstrap's spread is that of T - 1."""
    means = side.mean(axis=1, keepdims=True)
    return np.asarray(side + (means - means.mean()) * (math.sqrt(len(side) / (len(side) - 1)) - 1))


def _degrees_of_freedom(baseline: Floats, candidate: Floats, index: NDArray[np.intp]) -> float | None:
    """Welch and Satterthwaite's; None where nothing spreads."""
    parts = [(float(side.mean(axis=1).var(ddof=1)) / len(side), len(side) - 1) for side in (baseline, candidate)]
    cases = candidate.mean(axis=0) - baseline.mean(axis=0)
    by_patient = np.bincount(index, weights=cases) / np.bincount(index)
    parts.append((float(by_patient.var(ddof=1)) / len(by_patient), len(by_patient) - 1))
    below = sum(variance**2 / degrees for variance, degrees in parts)
    return sum(variance for variance, _ in parts) ** 2 / below if below > 0 else None


def _drawn(rng: np.random.Generator, resamples: int, number: int) -> Floats:
    """How often each of `number` is drawn, (resamples, number)."""
    drawn: Any = rng.multinomial(number, np.full(number, 1 / number), size=resamples)
    return np.asarray(drawn, dtype=np.float64)
