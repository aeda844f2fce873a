"""One class at a time: parts, sizes, what the image shows under the label and at its border."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from nnunetv2_dale.audit.audit_task import AuditedClass
from nnunetv2_dale.audit.findings import Kind
from nnunetv2_dale.audit.sentences import volume_of
from nnunetv2_dale.audit.without_network.places import Places, ends_of
from nnunetv2_dale.audit.without_network.records import (
    CaseRecord,
    ClassRecord,
    Hint,
    Part,
    Share,
    high_values,
    rare_amounts,
)
from nnunetv2_dale.statistics.usual_values import Floats, usual

SMALL = 0.05  # of a usual object of the class: a smaller part is a speck
LEAST_PADDED, LEAST_OUTSIDE = 0.02, 0.1  # share of a class, on padding or outside of the body, that counts
FAR = 4.0  # spreads beyond the usual ends of a class, from which a part lies where the class never is
LEAST_VOLUME_SPREAD, LEAST_CONTRAST_SPREAD = 0.15, 0.1  # natural logarithm
PART_WORDS: Mapping[Kind, str] = {
    "misplaced": "where the class lies in no other case",
    "extra_object": "beside the largest; few other labels have a second one",
    "speck": "beside the object: specks",
}

Rows = Sequence[tuple[int, CaseRecord, ClassRecord]]
"""Number, case and class of every case that has the class."""


def class_hints(item: AuditedClass, number: int, places: Places, records: Sequence[CaseRecord]) -> Iterator[Hint]:
    """All kinds of one class."""
    rows = [(n, record, record.classes[item.key]) for n, record in enumerate(records) if item.key in record.classes]
    if not rows:
        return
    typical = float(np.median([row.voxels for _, _, row in rows]))
    yield from _parts(item, rows, typical, _too_far(number, places, records))
    yield from _volumes(item, rows)
    yield from _shares(
        item, rows, lambda row: row.constant, "on a constant image: padding, or where nothing was scanned", LEAST_PADDED
    )
    yield from _shares(item, rows, lambda row: row.outside, "outside of the body", LEAST_OUTSIDE)
    yield from _borders(item, rows)


def _too_far(k: int, places: Places, records: Sequence[CaseRecord]) -> Callable[[int, Part], float]:
    """What tells how many spreads a part of a case lies beyond where the class usually ends; 0 within."""
    expected, ends = places.expected(k, places.middles), ends_of(places, k, records)
    least = 2 * float(np.nanmedian(ends[:, 1] - ends[:, 0])) / 10
    known = [[usual(ends[:, end, axis], least) for axis in range(3)] for end in range(2)]
    middle, spread = np.array(known).transpose(2, 0, 1)

    def beyond(number: int, part: Part) -> float:
        place = part.middle_mm - expected[number]
        return float(np.nan_to_num(np.max([(middle[0] - place) / spread[0], (place - middle[1]) / spread[1], [0] * 3])))

    return beyond


def _parts(item: AuditedClass, rows: Rows, typical: float, beyond: Callable[[int, Part], float]) -> Iterator[Hint]:
    """Specks, second objects, parts where the class never is; the place of the largest part is judged in `places`."""
    sorted_parts: dict[Kind, list[list[Part]]] = {"misplaced": [], "extra_object": [], "speck": []}
    for number, _, row in rows:
        kinds = [_kind_of(part, typical, beyond(number, part)) for part in row.parts[1:]]
        for kind, found in sorted_parts.items():
            found.append([part for part, its in zip(row.parts[1:], kinds, strict=True) if its == kind])
    for kind, found in sorted_parts.items():
        chances = rare_amounts([sum(part.voxels for part in each) for each in found])
        for (number, record, _), parts, chance in zip(rows, found, chances.tolist(), strict=True):
            if parts:
                size, unit = volume_of(sum(part.voxels for part in parts), record)
                many = f"{len(parts)} parts" if len(parts) > 1 else "a part"
                words = f"{many} of {item.in_words}, {size:g} {unit}, {PART_WORDS[kind]}"
                yield Hint(number, item.key, kind, chance, parts[0].voxel, size, unit, words)


def _kind_of(part: Part, typical: float, beyond: float) -> Kind:
    if beyond > FAR:
        return "misplaced"
    return "speck" if part.voxels < SMALL * typical else "extra_object"


def _volumes(item: AuditedClass, rows: Rows) -> Iterator[Hint]:
    """Much larger or smaller than in all other cases; what the image cuts off is small with reason."""
    sizes = np.log([row.voxels * float(np.prod(record.spacing_mm)) for _, record, row in rows])
    middle, _ = usual(sizes)
    for sign, word in ((1, "larger"), (-1, "smaller")):
        values = np.array(
            [sign * size if sign > 0 or not row.cut else np.nan for size, (_, _, row) in zip(sizes, rows, strict=True)]
        )
        for (number, record, row), log_size, chance in zip(
            rows, sizes, high_values(values, LEAST_VOLUME_SPREAD), strict=True
        ):
            size, unit = volume_of(row.voxels, record)
            times = float(np.exp(sign * (log_size - middle)))
            words = f"{item.in_words} has {size:g} {unit}, {times:.1f} times {word} than in most cases"
            yield Hint(number, item.key, "volume", float(chance), row.parts[0].voxel, size, unit, words)


def _shares(
    item: AuditedClass, rows: Rows, of: Callable[[ClassRecord], Share], where: str, least: float
) -> Iterator[Hint]:
    shares = [of(row).voxels / row.voxels for _, _, row in rows]
    chances = rare_amounts([share if share >= least else 0.0 for share in shares])
    for (number, record, row), share, chance in zip(rows, shares, chances.tolist(), strict=True):
        there = of(row)
        if there.voxel is not None:
            size, unit = volume_of(there.voxels, record)
            words = f"{share:.0%} of {item.in_words} ({size:g} {unit}) lies {where}"
            yield Hint(number, item.key, "outside", chance, there.voxel, size, unit, words)


def _borders(item: AuditedClass, rows: Rows) -> Iterator[Hint]:
    contrasts = np.array([row.contrast for _, _, row in rows])
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(np.where(contrasts > 0, contrasts, np.nan))
    logs = np.where(contrasts == 0, -10.0, logs)
    for (number, _, row), chance in zip(rows, high_values(-logs, LEAST_CONTRAST_SPREAD), strict=True):
        words = (
            f"the image changes {row.contrast:.2f} times as much across the border of {item.in_words} as near it, "
            f"in most cases {np.nanmedian(contrasts):.2f} times: the border may lie where the image shows none"
        )
        yield Hint(
            number, item.key, "border", float(chance), row.parts[0].voxel, round(row.contrast, 3), "times", words
        )
