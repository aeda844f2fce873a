"""How unusual each case is in each class: the evidence of all cases, in units of what is usual for the class.

Hard is not wrong. If networks are as unsure as their support s says, a right label y is drawn from it. Then it is
expected to differ from them by Σ |y − s| = Σ 2 s (1 − s) voxels. A soft border has much of both. So every difference is
counted in units of the expected one. To it a tenth of a voxel along the border is added, within which nobody can draw.
It is all that is expected of referees that do not say how sure they are. Where some do and some do not, see `units`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnunetv2_dale.audit.displacement import Displacement
from nnunetv2_dale.audit.evidence import CaseEvidence, ClassEvidence
from nnunetv2_dale.audit.units import of_the_most_frequent_form
from nnunetv2_dale.audit.ways_of_drawing import right_way
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.statistics.usual_values import LARGEST_Z, Floats, deviations, usual, usual_by_fold

LEAST_STEP = 0.1  # of a voxel along the border, within which nobody can draw
LEAST_RATIO = 0.1  # differences whose sizes differ by less than 10 % are alike
LEAST_GAIN = 0.05  # Dice, by which moving a right label to where networks find it may better it
LEAST_SHARE = 3e-3  # of a typical object: smaller ones count as none
CLEAR_DEVIATION = 3.0  # spreads from which a kind of evidence is worth a sentence of its own
PART_LEAVES = 0.5  # of a case's deviation: if the border alone has less, the parts are what is unusual
LEAST_SHOWN = 0.1  # natural logarithm: a border across which the image changes 10 % more is one that it shows
LEAST_OBJECT = 0.1  # of a typical object, from which a part counts as an object
LEAST_OF_IMAGE = 10  # cases, from which one can say what the image usually shows
OBJECT_SPREAD = 1.0  # natural logarithm: objects that differ by a factor of e are alike


@dataclass(frozen=True)
class UnusualClass:
    """One class over N cases, or the whole label (key ""). NaN: the case has nothing to compare."""

    key: str  # of the class
    # (N,) mean displacement that is usual in the case's fold: what the referees always draw wider (−) or narrower (+)
    habit_mm: Floats
    excess_mm: Floats  # (N,) mean displacement of the border beyond the habit
    wider: Floats  # (N,) excess volume against the expected difference, in spreads
    restless: Floats  # (N,) difference without its sign against the expected one, in spreads
    shift_mm: Floats  # (N, 3) beyond what is usual
    shifted: Floats  # (N,) what moving the label back would gain, in spreads
    objects: Floats  # (N,) objects that one side lacks, in spreads; 0 for the whole label
    # (N,) whether it is parts that one side lacks that make a case unusual, and not the border
    by_parts: Mask
    typical_voxels: float  # median size of the referees' objects
    # (N,) the border that the image shows (`image_borders`), in spreads above what is usual: below where it shows the
    # networks' rather than the label's. NaN where it shows none, −∞ where a label has no border of its own: it lacks
    # the class, or gives it to another one.
    image: Floats
    squares: Floats  # (N,) the sum of the squares of these four deviations, of those that are suspicious


def unusual_class(cases: Sequence[CaseEvidence], key: str) -> UnusualClass:
    """Compare all cases in one class."""
    rows, folds = [case.of(key) for case in cases], [case.fold for case in cases]
    wider, restless = _comparable_differences(cases, rows)
    border = _comparable_differences(cases, [_without_parts(row) for row in rows])
    gain = _of_displacements(rows, lambda each: each.dice_moved - each.dice)
    shifted = deviations(gain, folds, LEAST_GAIN)
    objects, object_voxels = _objects(rows, folds) if key else (np.zeros(len(rows)), 1.0)
    mean_mm = _of_displacements(rows, lambda each: each.mean_mm)
    habit_mm, _ = usual_by_fold(mean_mm, folds)
    moves = [[np.nan] * 3 if row.displacement is None else row.displacement.shift_mm for row in rows]
    squares = _squares(rows, wider, restless, shifted, objects)
    if (way := right_way(wider, _image(rows, squares))) is not None:
        wider, border = way.seen_from(wider), (way.seen_from(border[0]), border[1])
        habit_mm = habit_mm + np.nanmedian((mean_mm - habit_mm)[way.cases])
        squares = _squares(rows, wider, restless, shifted, objects)
    return UnusualClass(
        key=key,
        habit_mm=habit_mm,
        excess_mm=mean_mm - habit_mm,
        wider=wider,
        restless=restless,
        shift_mm=np.stack([each - usual_by_fold(each, folds)[0] for each in np.array(moves).T], axis=1),
        shifted=shifted,
        objects=objects,
        by_parts=_is_by_parts(_strongest(*border), _strongest(wider, restless)) & ~(shifted >= CLEAR_DEVIATION),
        typical_voxels=object_voxels,
        image=_image(rows, squares),
        squares=squares,
    )


def _squares(rows: Sequence[ClassEvidence], wider: Floats, *others: Floats) -> Floats:
    suspicious = (np.abs(wider), *others)
    squares: Floats = np.nansum([np.maximum(each, 0) ** 2 for each in suspicious], axis=0)
    return _of_rows(rows, lambda _: 1.0) * squares


def _comparable_differences(cases: Sequence[CaseEvidence], rows: Sequence[ClassEvidence]) -> tuple[Floats, Floats]:
    """(`wider`, `restless`) of all cases, each in the units that `units` says."""
    comparable = of_the_most_frequent_form(cases)
    wider, restless = _differences(cases, rows, comparable)
    if comparable.all():
        return wider, restless
    others = _differences(cases, [_yes_or_no(row) for row in rows])
    return np.where(comparable, wider, others[0]), np.where(comparable, restless, others[1])


def _strongest(wider: Floats, restless: Floats) -> Floats:
    return np.nan_to_num(np.maximum(np.abs(wider), restless))


def _is_by_parts(border: Floats, all_together: Floats) -> Mask:
    """Whether the border alone has little of the deviation, or is nothing that stands out."""
    clear = (border < CLEAR_DEVIATION) & (all_together >= CLEAR_DEVIATION)
    return (border <= PART_LEAVES * all_together) | clear


def _without_parts(row: ClassEvidence) -> ClassEvidence:
    """What a row would hold without the parts that one side lacks: the borders of what both have.

    Exchanged parts are of either side. Without them too, no more than all that is left apart can be in excess.
    """
    extra, missed, exchanged = (sum(part.voxels for part in each) for each in (row.extra, row.missed, row.exchanged))
    apart = max(0.0, row.apart_voxels - extra - missed - exchanged)
    excess = min(max(row.excess_voxels - extra + missed, -apart), apart)
    return replace(row, excess_voxels=excess, apart_voxels=apart)


def _differences(
    cases: Sequence[CaseEvidence], rows: Sequence[ClassEvidence], among: Mask | None = None
) -> tuple[Floats, Floats]:
    """(`wider`, `restless`) of the cases that are `among` those compared; NaN of the others."""
    sizes = np.array([np.prod(_axes_mm(case)) for case in cases])  # of a voxel
    sizes = sizes if among is None else np.where(among, sizes, np.nan)
    folds = [case.fold for case in cases]
    step = float(np.median([np.prod(axes) ** (1 / len(axes)) for axes in map(_axes_mm, cases)]))  # of a cube as large
    # A class that fills the image has no border; one face is less than any border has.
    undrawable = LEAST_STEP * step * _of_rows(rows, lambda each: each.area_mm2 or step**2)
    excess, apart, unsure = (
        sizes * _of_rows(rows, value)
        for value in (lambda each: each.excess_voxels, lambda each: each.apart_voxels, lambda each: each.unsure_voxels)
    )
    expected = unsure + undrawable
    least = float(np.nanmedian(undrawable / expected)) if np.isfinite(expected).any() else 1.0
    wider = deviations(excess / expected, folds, least)
    return wider, deviations(np.log((apart + undrawable) / expected), folds, LEAST_RATIO)


def _yes_or_no(row: ClassEvidence) -> ClassEvidence:
    """What a row would hold if the referees said only yes or no."""
    excess = float(row.label_voxels - row.referees_voxels)
    return replace(row, excess_voxels=excess, apart_voxels=row.differing_voxels, unsure_voxels=0.0)


def unusual_cases(classes: Sequence[UnusualClass]) -> Floats:
    """Return (N,) all classes together; of many classes the most unusual ones count most. NaN where none is on either
    side.

    The cube root of a sum of squares is nearly normal (Wilson and Hilferty), as `wrong_and_right` needs it.
    """
    squares = np.stack([each.squares for each in classes])
    together: Floats = np.cbrt(np.sqrt(np.nansum(squares**2, axis=0)))
    return np.where(np.isnan(squares).all(axis=0), np.nan, together)


def image_of_cases(classes: Sequence[UnusualClass]) -> Floats:
    """Return (N,) what the image says of each case's most unusual class, in spreads; NaN where it says nothing."""
    most = np.argmax(np.nan_to_num([each.squares for each in classes]), axis=0)
    return np.asarray(np.stack([each.image for each in classes])[most, np.arange(len(most))])


def _image(rows: Sequence[ClassEvidence], squares: Floats) -> Floats:
    """`UnusualClass.image`; the half of the cases nearest to their networks shows what is usual."""
    images = [None if row.dice is None else row.image for row in rows]
    sides = np.array([np.nan if each is None else each.sides for each in images])
    shown = np.array([np.nan if each is None else each.shown for each in images])
    near = np.isfinite(sides) & (squares <= (np.median(squares[np.isfinite(sides)]) if np.isfinite(sides).any() else 0))
    seen = shown[near & np.isfinite(shown)]
    if near.sum() < LEAST_OF_IMAGE or not len(seen) or np.median(seen) < LEAST_SHOWN:
        return np.full(len(rows), np.nan)
    middle, spread = usual(sides[near], LEAST_RATIO)
    borderless = np.array([row.dice is not None and _is_without_border(row) for row in rows])
    return np.where(borderless, -np.inf, np.clip((sides - middle) / spread, -LARGEST_Z, LARGEST_Z))


def _is_without_border(row: ClassEvidence) -> bool:
    """Whether the image can show no border of the label: it has none of the class, or an object of another name."""
    return not row.label_voxels or any(part.voxels >= LEAST_OBJECT * row.typical_voxels for part in row.exchanged)


def _of_rows(rows: Sequence[ClassEvidence], value: Callable[[ClassEvidence], float]) -> Floats:
    """NaN where neither side has the class."""
    return np.array([np.nan if row.dice is None else value(row) for row in rows])


def _of_displacements(rows: Sequence[ClassEvidence], value: Callable[[Displacement], float]) -> Floats:
    return np.array([np.nan if row.displacement is None else value(row.displacement) for row in rows])


def _axes_mm(case: CaseEvidence) -> tuple[float, ...]:
    """Edges of a voxel; in a slice of the square that one sees."""
    return case.spacing_mm[1:] if case.planar else case.spacing_mm


def _objects(rows: Sequence[ClassEvidence], folds: Sequence[str]) -> tuple[Floats, float]:
    """The largest part that one side lacks, against the class's typical object, on a logarithmic scale; and that."""
    largest = [max((part.voxels for part in row.parts), default=0) for row in rows]
    sizes = [row.typical_voxels for row in rows if row.typical_voxels]
    typical = float(np.median(sizes)) if sizes else 1.0
    known = _of_rows(rows, lambda _: 1.0)
    return deviations(known * np.log(np.array(largest) / typical + LEAST_SHARE), folds, OBJECT_SPREAD), typical
