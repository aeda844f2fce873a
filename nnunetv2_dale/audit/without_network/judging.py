"""From the records of all cases to ranked cases with findings, as the audit by networks gives them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask
from nnunetv2_dale.audit.class_statements import ClassStatement, said_in_table
from nnunetv2_dale.audit.findings import AuditedCase, Finding, Kind
from nnunetv2_dale.audit.scoring import LISTED_FROM, Accepted, Judgement
from nnunetv2_dale.audit.without_network.absent_classes import absent_hints
from nnunetv2_dale.audit.without_network.appearance import appearance_hints
from nnunetv2_dale.audit.without_network.places import place_hints, places_of
from nnunetv2_dale.audit.without_network.records import CaseRecord, Hint
from nnunetv2_dale.audit.without_network.single_classes import class_hints
from nnunetv2_dale.nnunet_files.geometry import world_mm

CAUSES: tuple[Kind, ...] = ("empty", "flipped", "exchanged", "shifted", "other_case")  # what explains most comes first
# of what is wrong with the whole label, or of two exchanged classes
CONSEQUENCES = ("exchanged", "shifted", "flipped", "other_case", "border", "volume")


def rank_records(
    records: Sequence[CaseRecord], task: AuditTask, step_mm: float, accepted: Accepted = ()
) -> tuple[list[Judgement], tuple[ClassStatement, ...]]:
    """All cases, the most suspicious first, and what is said of whole classes.

    Args:
        accepted: (case, class key, kind) that a person found right in an earlier audit; not asked again.
    """
    records = [_annotated(record, task) for record in records]
    hints, statements = hints_of(records, task.classes, step_mm)
    said = [each for item in task.classes for each in said_in_table(item, (record.case for record in records), task)]
    ranked = []
    for number, record in enumerate(records):
        found = list(_of_case([hint for hint in hints if hint.number == number]))
        asked = [each for each in found if (record.case, each.key, each.kind) not in accepted]
        score = max((each.chance for each in asked), default=0.0)
        listed = [_finding(each, record, task) for each in asked if each.chance >= LISTED_FROM]
        ranked.append(Judgement(AuditedCase(record.case, "", score, True, tuple(listed), record.checksum), {}, {}))
    return sorted(ranked, key=lambda each: -each.audited.score), (*said, *statements)


def _annotated(record: CaseRecord, task: AuditTask) -> CaseRecord:
    """The record without the classes that nobody annotated in the case."""
    missing = task.open_classes.get(record.case, frozenset())
    classes = {key: each for key, each in record.classes.items() if key not in missing}
    return replace(record, classes=classes, open_classes=missing)


def hints_of(
    records: Sequence[CaseRecord], classes: Sequence[AuditedClass], step_mm: float
) -> tuple[list[Hint], tuple[ClassStatement, ...]]:
    """Return all that looks wrong in any case, however unlikely, and what is said of whole classes."""
    places = places_of(records, [item.key for item in classes])
    hints, statements = absent_hints(places, records, classes)
    hints += place_hints(places, records, classes)
    hints += appearance_hints(records, classes, step_mm)
    for number, item in enumerate(classes):
        hints += class_hints(item, number, places, records)
    return hints, tuple(statements)


def _of_case(hints: Collection[Hint]) -> Iterator[Hint]:
    """One hint of each kind in each class, the likeliest first, without what follows from a graver one."""
    likeliest = sorted(hints, key=lambda each: -each.chance)
    listed = [each for each in likeliest if each.chance >= LISTED_FROM]
    cause = [each for kind in CAUSES for each in listed if each.kind == kind and (not each.key or kind == "exchanged")][
        :1
    ]
    seen = set()
    for each in likeliest:
        explained = bool(cause) and each not in cause and each.kind in CONSEQUENCES
        if (each.key, each.kind) not in seen and not explained:
            seen.add((each.key, each.kind))
            yield each


def _finding(hint: Hint, record: CaseRecord, task: AuditTask) -> Finding:
    names = {item.key: item.name for item in task.classes}
    x, y, z = world_mm(record.affine, hint.voxel)
    name = names.get(hint.key, "all classes")
    words = f"{hint.words} (without a network)"
    return Finding(name, hint.key, hint.kind, hint.chance, round(hint.size, 3), hint.unit, hint.voxel, (x, y, z), words)
