"""How unusual each case is in each class: the evidence of all cases, in units of what is usual for the class.

Hard is not wrong. If networks are as unsure as their support s says, a right label y is drawn from it. Then it is
expected to differ from them by Σ |y − s| = Σ 2 s (1 − s) voxels. A soft border has much of both. So every difference is
counted in units of the expected one. To it a tenth of a voxel along the border is added, within which nobody can draw.
It is all that is expected of referees that do not say how sure they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nnunetv2_dale.audit.displacement import Displacement
from nnunetv2_dale.audit.evidence import CaseEvidence, ClassEvidence
from nnunetv2_dale.audit.null_model import Floats, deviations, usual_by_fold

LEAST_STEP = 0.1  # of a voxel along the border, within which nobody can draw
LEAST_RATIO = 0.1  # differences whose sizes differ by less than 10 % are alike
LEAST_GAIN = 0.05  # Dice, by which moving a right label to where networks find it may better it
LEAST_SHARE = 3e-3  # of a typical object: smaller ones count as none
OBJECT_SPREAD = 1.0  # natural logarithm: objects that differ by a factor of e are alike


@dataclass(frozen=True)
class UnusualClass:
    """One class over N cases, or the whole label (key ""). NaN: the case has nothing to compare.

    Attributes:
        key: of the class.
        habit_mm: (N,) mean displacement that is usual in the case's fold: what the referees always draw wider (−) or
            narrower (+).
        excess_mm: (N,) mean displacement of the border beyond the habit.
        wider: (N,) excess volume against the expected difference, in spreads.
        restless: (N,) difference without its sign against the expected one, in spreads.
        shift_mm: (N, 3) beyond what is usual.
        shifted: (N,) what moving the label back would gain, in spreads.
        objects: (N,) objects that one side lacks, in spreads; 0 for the whole label.
        typical_voxels: median size of the referees' objects.
        squares: (N,) the sum of the squares of these four deviations, of those that are suspicious.
    """

    key: str
    habit_mm: Floats
    excess_mm: Floats
    wider: Floats
    restless: Floats
    shift_mm: Floats
    shifted: Floats
    objects: Floats
    typical_voxels: float
    squares: Floats


def unusual_class(cases: Sequence[CaseEvidence], key: str) -> UnusualClass:
    """Compare all cases in one class."""
    rows, folds = [case.of(key) for case in cases], [case.fold for case in cases]
    sizes = np.array([_voxel_size(case) for case in cases])
    step = _voxel_step(cases)
    # A class that fills the image has no border; one face is less than any border has.
    undrawable = LEAST_STEP * step * _of_rows(rows, lambda each: each.area_mm2 or step**2)
    excess, apart, unsure = (
        sizes * _of_rows(rows, value)
        for value in (lambda each: each.excess_voxels, lambda each: each.apart_voxels, lambda each: each.unsure_voxels)
    )
    expected = unsure + undrawable
    least = float(np.nanmedian(undrawable / expected)) if np.isfinite(expected).any() else 1.0
    wider = deviations(excess / expected, folds, least)
    restless = deviations(np.log((apart + undrawable) / expected), folds, LEAST_RATIO)
    gain = _of_displacements(rows, lambda each: each.dice_moved - each.dice)
    shifted = deviations(gain, folds, LEAST_GAIN)
    objects, object_voxels = _objects(rows, folds) if key else (np.zeros(len(rows)), 1.0)
    mean_mm = _of_displacements(rows, lambda each: each.mean_mm)
    habit_mm = usual_by_fold(mean_mm, folds).middle
    by_axis = (lambda each: each.shift_mm[0]), (lambda each: each.shift_mm[1]), (lambda each: each.shift_mm[2])
    moves = [_of_displacements(rows, along) for along in by_axis]
    suspicious = (np.abs(wider), restless, shifted, objects)
    return UnusualClass(
        key=key,
        habit_mm=habit_mm,
        excess_mm=mean_mm - habit_mm,
        wider=wider,
        restless=restless,
        shift_mm=np.stack([each - usual_by_fold(each, folds).middle for each in moves], axis=1),
        shifted=shifted,
        objects=objects,
        typical_voxels=object_voxels,
        squares=np.nansum([np.maximum(each, 0) ** 2 for each in suspicious], axis=0),
    )


def unusual_cases(classes: Sequence[UnusualClass]) -> Floats:
    """(N,) all classes together; of many classes the most unusual ones count most.

    The cube root of a sum of squares is nearly normal (Wilson and Hilferty), as `wrong_and_right` needs it.
    """
    together: Floats = np.cbrt(np.sqrt(np.sum([each.squares**2 for each in classes], axis=0)))
    return together


def _of_rows(rows: Sequence[ClassEvidence], value: Callable[[ClassEvidence], float]) -> Floats:
    """NaN where neither side has the class."""
    return np.array([np.nan if row.dice is None else value(row) for row in rows])


def _of_displacements(rows: Sequence[ClassEvidence], value: Callable[[Displacement], float]) -> Floats:
    return np.array([np.nan if row.displacement is None else value(row.displacement) for row in rows])


def _voxel_step(cases: Sequence[CaseEvidence]) -> float:
    """Edge of a cube of a voxel's volume, mm; in a slice of a square of its area."""
    axes = [case.spacing_mm[1:] if case.planar else case.spacing_mm for case in cases]
    return float(np.median([np.prod(each) ** (1 / len(each)) for each in axes]))


def _voxel_size(case: CaseEvidence) -> float:
    """mm³; of a picture mm²."""
    return float(np.prod(case.spacing_mm[1:] if case.planar else case.spacing_mm))


def _objects(rows: Sequence[ClassEvidence], folds: Sequence[str]) -> tuple[Floats, float]:
    """The largest part that one side lacks, against the class's typical object, on a logarithmic scale; and that."""
    largest = [max((part.voxels for part in (*row.extra, *row.missed, *row.exchanged)), default=0) for row in rows]
    sizes = [row.typical_voxels for row in rows if row.typical_voxels]
    typical = float(np.median(sizes)) if sizes else 1.0
    return deviations(np.log(np.array(largest) / typical + LEAST_SHARE), folds, OBJECT_SPREAD), typical
