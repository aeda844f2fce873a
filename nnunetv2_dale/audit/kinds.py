"""What is wrong with a class of a case, from what is unusual about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nnunetv2_dale.audit.components import Component
from nnunetv2_dale.audit.displacement import QUANTILES
from nnunetv2_dale.audit.evidence import CaseEvidence, ClassEvidence
from nnunetv2_dale.audit.findings import Kind
from nnunetv2_dale.audit.orientation import Orientation
from nnunetv2_dale.audit.unusual import CLEAR_DEVIATION, LEAST_OBJECT, LEAST_STEP, UnusualClass

COHERENT = 0.4  # share of the displacement that must point one way to be called wider or narrower
LITTLE_IN_COMMON = 0.1  # Dice below which two labels have nothing in common
BORDER_KINDS = ("wider", "narrower", "shifted", "unclear")
TURNED_AGREEMENT = 0.8  # share of the usual agreement that a turned or moved label must reach
CLEARLY_MORE = 0.25  # of what a move leaves unexplained, that a turn must explain to be called one
MOVE_EXPLAINS = 0.25  # of the disagreement of a class, that moving it back must explain to call it shifted
LEAST_OF_PARTS = 0.3  # of all parts that one side lacks, from which those of a kind are named


@dataclass(frozen=True)
class Suspicion:
    """One kind of error at one place."""

    key: str  # class key; "" for the whole label
    kind: Kind
    voxel: tuple[int, ...]  # (z, y, x)
    size_mm: float = 0.0  # of displacements: how far; of a shift its length
    share: float = 0.0  # of displacements: of the surface that is displaced that way
    vector_mm: tuple[float, ...] = ()  # of a shift, (z, y, x)
    voxels: int = 0  # of objects: their size
    other: str = ""  # of exchanged objects: key of the class that the referees find
    words: str = ""  # of turned labels: what would make them agree


def suspicions(
    case: CaseEvidence, number: int, whole: UnusualClass | None, classes: Sequence[UnusualClass], usual_agreement: float
) -> list[Suspicion]:
    """List all that may be wrong with a case: whole-label errors alone, else class by class.

    Args:
        usual_agreement: median over the cases of the mean Dice over classes.
    """
    of_all = _whole_label(case, usual_agreement)
    if of_all is not None:
        return [of_all]
    least_mm = LEAST_STEP * min(case.spacing_mm[1:])
    found = [each for unusual in classes for each in _of_class(case.of(unusual.key), unusual, number, least_mm)]
    involved = {key for each in found if each.kind == "exchanged" for key in (each.key, each.other)}
    found = [each for each in found if each.kind not in BORDER_KINDS or each.key not in involved]
    together = [] if whole is None else list(_of_class(case.of(""), whole, number, least_mm))
    if whole is not None and together and together[0].kind == "shifted" and whole.shifted[number] >= CLEAR_DEVIATION:
        return [*together, *(each for each in found if each.kind not in BORDER_KINDS)]
    return found


def _whole_label(case: CaseEvidence, usual_agreement: float) -> Suspicion | None:
    labelled = sum(row.label_voxels for row in case.classes.values())
    rows = [row for row in case.classes.values() if row.dice is not None]
    found = sum(row.referees_voxels for row in rows)
    place = _any_place(rows)
    if place is None:
        return None
    if not labelled:
        return Suspicion("", "empty", place, voxels=found)
    turned = case.orientation
    enough = TURNED_AGREEMENT * usual_agreement
    if turned and turned.agreement_turned >= enough and _is_turned(turned):
        return Suspicion("", "flipped", place, share=turned.agreement_turned, words=turned.words)
    unjudged = any(row.dice is None and row.label_voxels for row in case.classes.values())
    exchanged = any(row.exchanged for row in rows)
    if found and not exchanged and not unjudged and all((row.dice or 0.0) < LITTLE_IN_COMMON for row in rows):
        if turned and turned.agreement_moved >= enough:
            vector = tuple(step * mm for step, mm in zip(turned.moved, case.spacing_mm, strict=True))
            return Suspicion("", "shifted", place, float(np.linalg.norm(vector)), vector_mm=vector)
        return Suspicion("", "other_case", place, voxels=labelled)
    return None


def _is_turned(found: Orientation) -> bool:
    """Whether a turn explains much, and clearly more than moving the label: one round object may be turned into any."""
    gain = found.agreement_turned - found.agreement
    beyond = found.agreement_turned - found.agreement_moved
    unexplained = 1 - found.agreement_moved
    return bool(found.words) and gain >= 0.5 * (1 - found.agreement) and beyond > CLEARLY_MORE * unexplained


def _of_class(row: ClassEvidence, unusual: UnusualClass, number: int, least_mm: float) -> Iterator[Suspicion]:
    yield from _objects(row, unusual, number)
    found = row.displacement
    if found is None or unusual.by_parts[number]:
        return
    sign = 1 if unusual.excess_mm[number] >= 0 else -1
    coherent = abs(unusual.excess_mm[number]) >= COHERENT * found.absolute_mm
    vector = unusual.shift_mm[number]
    place = found.widest if sign > 0 else found.narrowest
    place = place or found.widest or found.narrowest
    if place is None:
        return
    moved = unusual.shifted[number] > abs(unusual.wider[number])
    if moved and found.dice_moved - found.dice >= MOVE_EXPLAINS * (1 - found.dice):
        size = float(np.linalg.norm(vector))
        yield Suspicion(unusual.key, "shifted", place, size, vector_mm=tuple(vector.tolist()))
    elif coherent:
        size, share = _beyond(found.quantiles_mm, float(unusual.habit_mm[number]), sign, least_mm)
        kind: Kind = "wider" if sign > 0 else "narrower"
        yield Suspicion(unusual.key, kind, place, size, share)
    else:
        yield Suspicion(unusual.key, "unclear", place, found.absolute_mm)


def _objects(row: ClassEvidence, unusual: UnusualClass, number: int) -> Iterator[Suspicion]:
    """The largest part of each kind; the rest shows on the maps.

    Small parts count where they are what is unusual.
    """
    clear = unusual.objects[number] >= CLEAR_DEVIATION
    of_all = sum(part.voxels for part in row.parts)
    sorted_parts: tuple[tuple[Kind, tuple[Component, ...]], ...] = (
        ("missed_object", row.missed),
        ("extra_object", row.extra),
        ("exchanged", row.exchanged),
    )
    for kind, parts in sorted_parts:
        if not parts:
            continue
        largest, size = parts[0], sum(part.voxels for part in parts)
        is_object = clear and largest.voxels >= LEAST_OBJECT * unusual.typical_voxels
        if is_object or (unusual.by_parts[number] and size >= LEAST_OF_PARTS * of_all):
            yield Suspicion(unusual.key, kind, largest.voxel, voxels=largest.voxels, other=largest.other or "")


def unclear(case: CaseEvidence, number: int, classes: Sequence[UnusualClass]) -> Suspicion | None:
    """Say of a case that stands out, where nothing else can be said, which class differs most."""
    known = [each for each in classes if case.of(each.key).apart_at is not None]
    if not known:
        return None
    key = max(known, key=lambda each: float(np.nan_to_num(each.squares[number]))).key
    row = case.of(key)
    size_mm = row.displacement.absolute_mm if row.displacement else 0.0
    return Suspicion(key, "unclear", row.apart_at or (), size_mm, voxels=round(row.differing_voxels))


def _beyond(quantiles_mm: Sequence[float], habit_mm: float, sign: int, least_mm: float) -> tuple[float, float]:
    """(mean excess in mm, share of the surface) where a displacement points one way beyond the habit.

    What is less than `least_mm` beyond it counts only where nothing is more.
    """
    middles = (np.asarray(quantiles_mm[:-1]) + np.asarray(quantiles_mm[1:])) / 2
    excess = sign * (middles - habit_mm)
    beyond = excess > (least_mm if excess.max() > least_mm else 0)
    return float(excess[beyond].mean()) if beyond.any() else 0.0, float(beyond.sum() / (len(QUANTILES) - 1))


def _any_place(rows: Sequence[ClassEvidence]) -> tuple[int, ...] | None:
    parts = [part for row in rows for part in (*row.missed, *row.extra, *row.exchanged)]
    if parts:
        return max(parts, key=lambda part: part.voxels).voxel
    apart = [row for row in rows if row.apart_at is not None]
    return max(apart, key=lambda row: row.differing_voxels).apart_at if apart else None
