"""How unusual each case is in each class: the evidence of all cases, in units of what is usual for the class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from nnunetv2_dale.audit.displacement import Displacement
from nnunetv2_dale.audit.evidence import CaseEvidence, ClassEvidence
from nnunetv2_dale.audit.null_model import Floats, deviations, usual

LEAST_STEP = 0.1  # of a voxel: mean displacements that differ by less are alike
LEAST_SHARE = 3e-3  # of a typical object: smaller ones count as none
OBJECT_SPREAD = 1.0  # natural logarithm: objects that differ by a factor of e are alike
LEAST_FOR_A_LINE = 20  # cases
DIFFICULTY_LIMITS = (0.5, 2.0)  # between which a case's spread may differ from the class's


@dataclass(frozen=True)
class UnusualClass:
    """One class over N cases. NaN: the case has nothing to compare.

    Attributes:
        key: of the class.
        habit_mm: mean displacement that is usual here: what the referees always draw wider (−) or narrower (+).
        excess_mm: (N,) displacement beyond the habit.
        wider: (N,) the same in spreads, less for a hard case.
        restless: (N,) displacement without its sign, in spreads; of masks with nothing in common, 1 − Dice in spreads.
        shift_mm: (N, 3) beyond what is usual.
        shifted: (N,) how unusual the shift is, in normal deviations.
        objects: (N,) objects that one side lacks, in spreads.
        typical_voxels: median size of the referees' objects.
        squares: (N,) the sum of the squares of these four deviations, of those that are suspicious.
        difficulty: (N,) how much larger displacements are to be expected than in the middle case.
    """

    key: str
    habit_mm: float
    excess_mm: Floats
    wider: Floats
    restless: Floats
    shift_mm: Floats
    shifted: Floats
    objects: Floats
    typical_voxels: float
    squares: Floats
    difficulty: Floats


def unusual_class(cases: Sequence[CaseEvidence], key: str) -> UnusualClass:
    """Compare all cases in one class."""
    rows = [case.classes[key] for case in cases]
    difficulty = _difficulty(cases, rows)
    mean_mm = _of_displacements(rows, lambda each: each.mean_mm)
    absolute = _of_displacements(rows, lambda each: each.absolute_mm)
    least_mm = LEAST_STEP * _voxel_step(cases)
    habit_mm, spread_mm = usual(mean_mm, least_mm)
    excess_mm = mean_mm - habit_mm
    by_axis = (lambda each: each.shift_mm[0]), (lambda each: each.shift_mm[1]), (lambda each: each.shift_mm[2])
    shift_mm = np.stack([_of_displacements(rows, along) for along in by_axis], axis=1)
    middles, spreads = np.array([usual(shift_mm[:, axis], least_mm) for axis in range(3)]).T
    steps = (shift_mm - middles) / spreads / difficulty[:, None]
    wider = excess_mm / spread_mm / difficulty
    restless = deviations(np.log(absolute + least_mm) - np.log(difficulty), LEAST_STEP)
    apart = deviations(np.array([np.nan if row.dice is None else 1 - row.dice for row in rows]), 0.02)
    restless = np.where(np.isnan(restless), apart, restless)  # nothing in common: no surface to measure to
    shifted = _normal_of_chi2((steps**2).sum(axis=1), int((np.ptp(np.nan_to_num(shift_mm), axis=0) > 0).sum()))
    objects, object_voxels = _objects(rows)
    squares = np.nansum([np.maximum(each, 0) ** 2 for each in (np.abs(wider), restless, shifted, objects)], axis=0)
    return UnusualClass(
        key=key,
        habit_mm=habit_mm,
        excess_mm=excess_mm,
        wider=wider,
        restless=restless,
        shift_mm=shift_mm - middles,
        shifted=shifted,
        objects=objects,
        typical_voxels=object_voxels,
        squares=squares,
        difficulty=difficulty,
    )


def unusual_cases(classes: Sequence[UnusualClass]) -> Floats:
    """(N,) all classes together; of many classes the most unusual ones count most.

    The cube root of a sum of squares is nearly normal (Wilson and Hilferty), as `two_groups` needs it.
    """
    together: Floats = np.cbrt(np.sqrt(np.sum([each.squares**2 for each in classes], axis=0)))
    return together


def _of_displacements(rows: Sequence[ClassEvidence], value: Callable[[Displacement], float]) -> Floats:
    return np.array([np.nan if row.displacement is None else value(row.displacement) for row in rows])


def _voxel_step(cases: Sequence[CaseEvidence]) -> float:
    """Edge of a cube of a voxel's volume, mm; in a slice of a square of its area."""
    axes = [case.spacing_mm[1:] if case.planar else case.spacing_mm for case in cases]
    return float(np.median([np.prod(each) ** (1 / len(each)) for each in axes]))


def _objects(rows: Sequence[ClassEvidence]) -> tuple[Floats, float]:
    """The largest part that one side lacks, against the class's typical object, on a logarithmic scale; and that."""
    largest = [max((part.voxels for part in (*row.extra, *row.missed, *row.exchanged)), default=0) for row in rows]
    sizes = [row.typical_voxels for row in rows if row.typical_voxels]
    typical = float(np.median(sizes)) if sizes else 1.0
    return deviations(np.log(np.array(largest) / typical + LEAST_SHARE), OBJECT_SPREAD), typical


def _difficulty(cases: Sequence[CaseEvidence], rows: Sequence[ClassEvidence]) -> Floats:
    """How displaced a right label of each case is expected to be, against the middle case.

    The referees' unsure rim, in mm, against the displacement without sign: a line through the logarithms (Theil–Sen,
    which wrong labels hardly move), its slope between 0 and 1. Where the referees do not say how sure they are, or
    there are too few cases for a line, all are as hard as each other.
    """
    ones = np.ones(len(rows))
    rim = np.array(
        [
            np.nan
            if row.displacement is None or not row.soft_voxels
            else row.soft_voxels * _voxel_size(case) / row.displacement.area_mm2
            for case, row in zip(cases, rows, strict=True)
        ]
    )
    moved = _of_displacements(rows, lambda each: each.absolute_mm)
    known = np.isfinite(rim) & (moved > 0)
    if known.sum() < LEAST_FOR_A_LINE or np.ptp(np.log(rim[known])) == 0:
        return ones
    slope = float(np.clip(stats.theilslopes(np.log(moved[known]), np.log(rim[known])).slope, 0.0, 1.0))
    relative = (rim / np.median(rim[known])) ** slope
    return np.where(np.isfinite(relative), np.clip(relative, *DIFFICULTY_LIMITS), ones)


def _voxel_size(case: CaseEvidence) -> float:
    """mm³; of a picture mm²."""
    return float(np.prod(case.spacing_mm[1:] if case.planar else case.spacing_mm))


def _normal_of_chi2(squares: Floats, degrees: int) -> Floats:
    """Wilson and Hilferty's normal deviation of a chi-squared value."""
    if degrees == 0:
        return np.zeros(len(squares))
    variance = 2 / (9 * degrees)
    return np.asarray((np.cbrt(squares / degrees) - (1 - variance)) / np.sqrt(variance))
