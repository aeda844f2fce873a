"""Classes that a label lacks although nearly all others have them: missing in some cases, or not annotated in many."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from nnunetv2_dale.audit.audit_task import AuditedClass
from nnunetv2_dale.audit.class_statements import NOT_DRAWN_CASES, NOT_DRAWN_FROM, ClassStatement
from nnunetv2_dale.audit.without_network.places import Places
from nnunetv2_dale.audit.without_network.records import LEAST_CASES, CaseRecord, Hint, Voxel, rare_amounts
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.statistics.usual_values import Floats

BETWEEN = -0.7  # cosine between the ways from two neighbours to a class, below which it lies between them


def absent_hints(
    places: Places, records: Sequence[CaseRecord], classes: Sequence[AuditedClass]
) -> tuple[list[Hint], list[ClassStatement]]:
    """What is said of the cases that lack a class, and of the class where they are many."""
    hints, statements = list(_empty(records, classes)), []
    for k, item in enumerate(classes):
        having = [number for number, record in enumerate(records) if item.key in record.classes]
        if len(having) < LEAST_CASES or not _is_steady(places, k, [records[number] for number in having]):
            continue
        expected = places.expected(k, places.middles)
        lacking = [
            number
            for number, record in enumerate(records)
            if record.classes
            and not {item.key} & {*record.classes, *record.open_classes}
            and _is_inside(expected[number], record)
        ]
        if len(lacking) >= NOT_DRAWN_CASES and len(lacking) >= NOT_DRAWN_FROM * (len(lacking) + len(having)):
            sentence = (
                f"{item.in_words} is probably not annotated in {len(lacking)} cases: their labels have none of it, "
                f"where it lies in {counted(len(having), 'other')} (without a network)"
            )
            names = tuple(records[number].case for number in lacking)
            statements.append(ClassStatement(item.name, item.key, "not_annotated", names, sentence))
            continue
        chances = rare_amounts([1.0] * len(lacking) + [0.0] * len(having))
        for number, chance in zip(lacking, chances.tolist(), strict=False):
            voxel = _voxel(expected[number], records[number])
            hints.append(_missing(places, k, number, chance, voxel, classes, len(having)))
    return hints, statements


def _empty(records: Sequence[CaseRecord], classes: Sequence[AuditedClass]) -> Iterator[Hint]:
    chances = rare_amounts([float(not record.classes) for record in records])
    for number in np.flatnonzero(chances).tolist():
        middle = _voxel(records[number].body_mm, records[number])
        words = "the label is empty, and hardly any other is"
        yield Hint(number, "", "empty", float(chances[number]), middle, float(len(classes)), "classes", words)


def _missing(
    places: Places, k: int, number: int, chance: float, voxel: Voxel, classes: Sequence[AuditedClass], having: int
) -> Hint:
    between, others = _neighbours(places, k, number), counted(having, "other label has", "other labels have")
    if between is None:
        words = f"{classes[k].in_words} is missing; {others} it"
        return Hint(number, places.keys[k], "empty", chance, voxel, 1.0, "class", words)
    first, second = (classes[each].in_words for each in between)
    words = f"{classes[k].in_words} is missing between {first} and {second}; {others} it"
    return Hint(number, places.keys[k], "missed_object", chance, voxel, 1.0, "class", words)


def _neighbours(places: Places, k: int, number: int) -> tuple[int, int] | None:
    """The two nearest classes of a case between which the class lies in the others."""
    there = [
        (other, way)
        for other, way in places.companions[k]
        if other < len(places.keys) and np.isfinite(places.middles[other, number, 0])
    ]
    pairs = [
        (float(np.linalg.norm(way) + np.linalg.norm(back)), min(a, b), max(a, b))
        for (a, way), (b, back) in itertools.combinations(there, 2)
        if way @ back < BETWEEN * np.linalg.norm(way) * np.linalg.norm(back)
    ]
    return None if not pairs else min(pairs)[1:]


def _is_steady(places: Places, k: int, having: Sequence[CaseRecord]) -> bool:
    """Whether one can say where a class belongs: it strays by less than its own length. A lesion may lie anywhere."""
    lengths = [np.ptp(record.classes[places.keys[k]].corners_mm, axis=0).max() for record in having]
    return bool(places.usual[k, 1].max() <= np.median(lengths))


def _is_inside(place: Floats, record: CaseRecord) -> bool:
    low, high = record.corners_mm
    return bool(np.all((place >= low) & (place <= high)))  # False for NaN


def _voxel(place: Floats, record: CaseRecord) -> Voxel:
    x, y, z = np.rint(np.linalg.inv(record.affine) @ np.array([*place, 1.0]))[:3]
    inside = np.clip([z, y, x], 0, np.array(record.shape) - 1).astype(int)
    return int(inside[0]), int(inside[1]), int(inside[2])
