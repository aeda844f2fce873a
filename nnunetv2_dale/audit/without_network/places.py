"""Where classes lie, seen from the others and from the body: exchanged, flipped, moved, and parts in a wrong place.

From where a class lies relative to each of its companions in all cases follows, in each case, where it is expected:
the median of what the companions say. How far it usually lies from there is the measure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nnunetv2_dale.audit.audit_task import AuditedClass
from nnunetv2_dale.audit.sentences import volume_of
from nnunetv2_dale.audit.without_network.records import LEAST_CASES, CaseRecord, Hint, high_values
from nnunetv2_dale.statistics.usual_values import Floats, usual

COMPANIONS = 8  # of a class: those that lie most steadily to it
LEAST_SPREAD_VOXELS = 1.0
LARGEST_SQUARE = 100.0  # that one class adds to how badly an arrangement fits
LIKELIER = 0.5  # an exchange may fit so much worse than a flip, which moves the middle of the body too
BOTH_ENDS = 0.5  # of the way of its middle, that either end of a shifted class went too
FITS = 0.25  # of how badly the classes lie, from which another arrangement explains it
Arrangement = tuple[tuple[int, int] | None, tuple[int, ...]]  # two classes exchanged, or axes of a flip
AXES = ("left and right", "front and back", "top and bottom")  # x, y, z of RAS+


@dataclass(frozen=True)
class Places:
    """Where the classes lie and where they are expected."""

    keys: tuple[str, ...]  # K classes
    middles: Floats  # (K + 1, N, 3) mm, RAS+; the last is the body's. NaN: the case lacks the class.
    companions: tuple[tuple[tuple[int, Floats], ...], ...]  # K lists of (other item, usual way from there)
    usual: Floats  # (K, 2, 3) middle and spread of how far a class lies from where it is expected

    def off(self, middles: Floats) -> Floats:
        """(K, N, 3) how far classes in these places lie from where their companions expect them."""
        return np.stack([middles[k] - self.expected(k, middles) for k in range(len(self.keys))])

    def expected(self, k: int, middles: Floats) -> Floats:
        """(N, 3) where a class is expected; NaN without any companion."""
        said = [middles[other] + way for other, way in self.companions[k]]
        return np.full(middles.shape[1:], np.nan) if not said else _median(np.stack(said))

    def squares(self, middles: Floats) -> Floats:
        """(K, N) how unusual the places are: the largest square over the axes of the deviation in spreads."""
        z = (self.off(middles) - self.usual[:, None, 0]) / self.usual[:, None, 1]
        return np.asarray(np.max(np.minimum(z**2, LARGEST_SQUARE), axis=2))


def places_of(records: Sequence[CaseRecord], keys: Sequence[str]) -> Places:
    """Learn where every class is expected."""
    nowhere = np.full(3, np.nan)
    of_classes = [[r.classes[key].middle_mm if key in r.classes else nowhere for r in records] for key in keys]
    middles = np.array([*of_classes, [record.body_mm for record in records]])
    companions = tuple(tuple(_companions(k, middles)) for k in range(len(keys)))
    places = Places(tuple(keys), middles, companions, np.zeros((len(keys), 2, 3)))
    least = LEAST_SPREAD_VOXELS * float(np.median([np.cbrt(abs(np.linalg.det(r.affine[:3, :3]))) for r in records]))
    off = places.off(middles)
    known = [[usual(off[k, :, axis], least) for axis in range(3)] for k in range(len(keys))]
    return Places(tuple(keys), middles, companions, np.array(known).transpose(0, 2, 1))


def _companions(k: int, middles: Floats) -> Iterator[tuple[int, Floats]]:
    ways = []
    for other in range(len(middles)):
        way = middles[k] - middles[other]
        way = way[np.isfinite(way[:, 0])]
        if other != k and len(way) >= LEAST_CASES:
            middle = np.median(way, axis=0)
            ways.append((float(np.median(np.abs(way - middle), axis=0).sum()), other, middle))
    yield from ((other, middle) for _, other, middle in sorted(ways, key=lambda each: each[0])[:COMPANIONS])


def _median(said: Floats) -> Floats:
    """Over the first axis, NaN left out; NaN of nothing."""
    known = np.isfinite(said).any(axis=0)
    result = np.full(said.shape[1:], np.nan)
    result[known] = np.nanmedian(said[:, known], axis=0)
    return result


def ends_of(places: Places, k: int, records: Sequence[CaseRecord]) -> Floats:
    """(N, 2, 3) lowest and highest place of a class, seen from where it is expected; NaN of cases that lack it."""
    key, nowhere = places.keys[k], np.full((2, 3), np.nan)
    corners = [record.classes[key].corners_mm if key in record.classes else nowhere for record in records]
    return np.array(corners) - places.expected(k, places.middles)[:, None]


def place_hints(places: Places, records: Sequence[CaseRecord], classes: Sequence[AuditedClass]) -> Iterator[Hint]:
    """Classes that lie elsewhere than in the other cases, alone or all together."""
    squares = places.squares(places.middles)
    for k, key in enumerate(places.keys):  # of what the image cuts off the middle is not known
        squares[k, [key in record.classes and record.classes[key].cut for record in records]] = np.nan
    chances = np.array([high_values(np.sqrt(each), 0.5) for each in squares])
    for number in np.flatnonzero((chances > 0).any(axis=0)).tolist():
        record = records[number]
        best = _other_arrangement(places, number, record) if chances[:, number].max() > 0.05 else None
        if best is not None:
            yield from _rearranged(best, float(chances[:, number].max()), number, record, classes)
            continue
        k = int(np.argmax(chances[:, number]))
        row = record.classes[places.keys[k]]
        vector = places.off(places.middles[:, [number]])[k, 0] - places.usual[k, 0]
        if not _moved_as_a_whole(vector, ends_of(places, k, records), number):
            continue
        size = float(np.linalg.norm(vector))
        yield Hint(
            number,
            places.keys[k],
            "shifted",
            float(chances[k, number]),
            row.parts[0].voxel,
            size,
            "mm",
            f"{classes[k].in_words} lies {size:.0f} mm from where it lies in the other cases, seen from the other "
            f"classes and the body ({in_directions(vector)})",
        )


def _moved_as_a_whole(vector: Floats, ends: Floats, number: int) -> bool:
    """Whether both ends went along: where one stayed, a part is missing or too much, and the class is not shifted."""
    axis = int(np.argmax(np.abs(vector)))
    along = (ends[number, :, axis] - np.nanmedian(ends[:, :, axis], axis=0)) * np.sign(vector[axis])
    return bool(along.min() >= BOTH_ENDS * abs(vector[axis]))


def _other_arrangement(places: Places, number: int, record: CaseRecord) -> Arrangement | None:
    """The exchange or flip that explains where the classes of a case lie."""
    middles = places.middles[:, [number]]
    before = np.nansum(places.squares(middles))
    candidates: list[tuple[float, Arrangement]] = []
    there = [k for k in range(len(places.keys)) if np.isfinite(middles[k, 0, 0])]
    for a, b in itertools.combinations(range(len(places.keys)), 2):
        if a in there or b in there:
            moved = middles.copy()
            moved[[a, b]] = middles[[b, a]]
            cost = float(np.nansum(places.squares(moved)))
            candidates.append((LIKELIER * cost - len(there), ((a, b), ())))
    for count in range(1, 4):
        for axes in itertools.combinations(range(3), count):
            moved = middles.copy()
            moved[:-1, :, axes] = record.corners_mm[:, axes].sum(axis=0) - moved[:-1, :, axes]
            candidates.append((float(np.nansum(places.squares(moved))), (None, axes)))
    cost, best = min(candidates, key=lambda each: each[0])
    return best if cost < FITS * before else None


def _rearranged(
    found: Arrangement, chance: float, number: int, record: CaseRecord, classes: Sequence[AuditedClass]
) -> Iterator[Hint]:
    pair, flipped = found
    if pair is None:
        row = max(record.classes.values(), key=lambda each: each.voxels)
        axes = " and ".join(AXES[axis] for axis in flipped)
        words = f"the classes lie as in the other cases if {axes} of the label are exchanged: it is probably flipped"
        yield Hint(number, "", "flipped", chance, row.parts[0].voxel, len(flipped), "axes", words)
        return
    a, b = (classes[k] for k in pair)
    first = a if a.key in record.classes else b
    part = record.classes[first.key].parts[0]
    words = f"{a.in_words} and {b.in_words} are probably exchanged: each lies where the other lies in the other cases"
    yield Hint(number, first.key, "exchanged", chance, part.voxel, *volume_of(part.voxels, record), words)


def in_directions(vector: Floats) -> str:
    """A way (x, y, z) in mm, RAS+, as "12 mm to the left, 3 mm to the top"."""
    names = (("right", "left"), ("front", "back"), ("top", "bottom"))
    largest = np.argsort(-np.abs(vector))
    said = [f"{abs(vector[axis]):.0f} mm to the {names[axis][int(vector[axis] < 0)]}" for axis in largest[:2]]
    return ", ".join(said)
