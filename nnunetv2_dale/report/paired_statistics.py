"""Statistics of paired cases: mean difference with its interval, tests, and the smallest difference the data resolve.

SciPy and statsmodels compute; this module says which function, on which numbers, and what is not defined.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairedStatistics:
    """Candidate − baseline over paired cases. None: not defined (too few cases, or no spread)."""

    n: int
    n_patients: int | None
    difference: float | None
    sd_difference: float | None
    median_difference: float | None
    ci95: tuple[float, float] | None
    p_ttest: float | None
    p_wilcoxon: float | None
    n_higher: int
    n_same: int
    n_lower: int
    detectable_difference: float | None


def paired_statistics(
    baseline: Floats,
    candidate: Floats,
    same_within: float,
    patients: Sequence[str] | None = None,
    resamples: int = 9999,
    seed: int = 0,
) -> PairedStatistics:
    """Compare two values of each case.

    With `patients` the cases of one patient belong together: the interval resamples patients (their cases with them),
    and the tests and the detectable difference are on one mean difference per patient.

    Args:
        baseline, candidate: (N,), finite.
        same_within: differences of at most this count as the same.
        patients: (N,) patient of each case; None: every case is its own.
        resamples: bootstrap resamples.
        seed: of the bootstrap.
    Raises:
        ValueError: the lengths differ.
    """
    differences = candidate - baseline
    units = differences if patients is None else _patient_means(differences, patients)
    # Without the tolerance 0.90 - 0.89 is "more than 0.01".
    margin = same_within + 1e-9
    return PairedStatistics(
        n=len(differences),
        n_patients=None if patients is None else len(units),
        difference=mean_of(differences),
        sd_difference=spread_of(differences),
        median_difference=float(np.median(differences)) if len(differences) else None,
        ci95=bootstrap_interval(differences, patients, resamples, seed),
        p_ttest=paired_t_test(units),
        p_wilcoxon=wilcoxon_test(units),
        n_higher=int((differences > margin).sum()),
        n_same=int((np.abs(differences) <= margin).sum()),
        n_lower=int((differences < -margin).sum()),
        detectable_difference=detectable_difference(units),
    )


def bootstrap_interval(
    differences: Floats, patients: Sequence[str] | None = None, resamples: int = 9999, seed: int = 0
) -> tuple[float, float] | None:
    """95 % bootstrap interval of the mean: bias-corrected and accelerated (BCa), by patient if patients are given.

    None for fewer than 2 cases or patients; [d, d] where every difference is d.
    """
    index = np.arange(len(differences)) if patients is None else patient_index(patients)
    sums = np.bincount(index, weights=differences).astype(np.float64)
    counts = np.bincount(index).astype(np.float64)
    if len(sums) < 2:
        return None
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])

    bootstrap: Any = stats.bootstrap  # its stubs know neither two paired samples nor a keyword axis

    def ratio_of_sums(total: Floats, number: Floats, axis: int = -1) -> Floats:
        return np.asarray(total.sum(axis=axis) / number.sum(axis=axis))

    def interval(method: str) -> tuple[float, float]:
        result = bootstrap(
            (sums, counts),
            ratio_of_sums,
            paired=True,
            n_resamples=resamples,
            batch=max(1, 2_000_000 // len(sums)),
            method=method,
            rng=np.random.default_rng(seed),
        )
        return float(result.confidence_interval.low), float(result.confidence_interval.high)

    with warnings.catch_warnings():
        # BCa says that it is not defined for degenerate data by a warning and NaN.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = interval("BCa")
        if not (math.isfinite(low) and math.isfinite(high)):
            low, high = interval("percentile")
    return low, high


def paired_t_test(differences: Floats) -> float | None:
    """Two-sided p of the paired t-test: 1 if all differences are 0, None for fewer than 2 or no spread."""
    if len(differences) < 2 or np.ptp(differences) == 0:
        return 1.0 if len(differences) >= 2 and differences[0] == 0 else None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def wilcoxon_test(differences: Floats) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test (zeros are left out): 1 if all are 0, None for fewer than 2."""
    if len(differences) < 2:
        return None
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def holm_adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment over the p-values that are there; None stays None."""
    from statsmodels.stats.multitest import multipletests

    there = [p for p in p_values if p is not None]
    adjusted = iter(multipletests(there, method="holm")[1] if there else [])
    return [None if p is None else float(next(adjusted)) for p in p_values]


def detectable_difference(differences: Floats, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """Smallest mean difference that a paired t-test on as many cases finds with that power, given their spread.

    None for fewer than 3 differences; 0 where they do not spread.
    """
    from statsmodels.stats.power import TTestPower

    if len(differences) < 3:
        return None
    spread = float(differences.std(ddof=1))
    effect = TTestPower().solve_power(effect_size=None, nobs=len(differences), alpha=alpha, power=power)
    return float(np.asarray(effect).item()) * spread


def mean_of(values: Floats) -> float | None:
    """None for no value."""
    return float(values.mean()) if len(values) else None


def spread_of(values: Floats) -> float | None:
    """Standard deviation of a sample; None for fewer than 2 values."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def patient_index(patients: Sequence[str]) -> NDArray[np.intp]:
    """The number of each case's patient, (N,)."""
    return np.unique(np.asarray(patients), return_inverse=True)[1]


def _patient_means(differences: Floats, patients: Sequence[str]) -> Floats:
    index = patient_index(patients)
    return np.bincount(index, weights=differences) / np.bincount(index)
