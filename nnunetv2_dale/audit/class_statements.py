"""What is said of a class at once, and not of case after case: nobody drew it, or the networks do not know it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask
from nnunetv2_dale.audit.evidence import CaseEvidence, ClassEvidence
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.confidence_table import TABLE
from nnunetv2_dale.statistics.usual_values import LEAST_OF_FOLD

LEAST_FOUND = 0.1  # Dice from which networks found a class in a case
KNOWN_FROM = 0.2  # share of the labelled cases in which networks have to find a class to judge its labels
NOT_DRAWN_FROM, NOT_DRAWN_CASES = 0.15, 5  # share and number of the cases, from which a lost class is a habit
AS_LARGE = 0.25  # of what the networks usually find of a class, from which a lost one counts

StatementKind = Literal["not_annotated", "not_judged"]


@dataclass(frozen=True)
class ClassStatement:
    """One thing that is so in many cases of a class."""

    class_name: str  # name of the class
    label: str  # its key in nnU-Net's summaries
    # `not_annotated`, the networks find it and the label has none of it; `not_judged`, the networks do not know the
    # class
    kind: StatementKind
    cases: tuple[str, ...]  # in which; the class is not judged there
    sentence: str  # in words


def class_statements(evidence: Sequence[CaseEvidence], task: AuditTask) -> tuple[ClassStatement, ...]:
    """Make all statements, class by class: what `confidence.csv` says, then what the other cases show."""
    statements: list[ClassStatement] = []
    for item in task.classes:
        said = said_in_table(item, [case.case for case in evidence], task)
        open_in = {case for each in said for case in each.cases}
        statements += [*said, *_of_class(item, [case for case in evidence if case.case not in open_in])]
    return tuple(statements)


def said_in_table(item: AuditedClass, cases: Iterable[str], task: AuditTask) -> list[ClassStatement]:
    """The statement on a class that is not annotated in some of the cases, as `confidence.csv` says; mostly none."""
    said = tuple(case for case in cases if item.key in task.open_classes.get(case, ()))
    sentence = (
        f"{item.in_words} is not annotated in {counted(len(said), 'case')}, as {TABLE} says, and not judged there"
    )
    return [ClassStatement(item.name, item.key, "not_annotated", said, sentence)] if said else []


def judged_evidence(evidence: Sequence[CaseEvidence], statements: Sequence[ClassStatement]) -> list[CaseEvidence]:
    """Return the evidence without the classes that statements are about; then the whole label says nothing."""
    open_in: dict[str, set[str]] = {}
    for each in statements:
        for name in each.cases:
            open_in.setdefault(name, set()).add(each.label)
    return [_without(case, open_in.get(case.case, ())) for case in evidence]


def is_judged(case: CaseEvidence) -> bool:
    """Say whether any class of a case could be judged, or there is nothing to judge."""
    rows = list(case.classes.values())
    return any(row.dice is not None for row in rows) or not any(row.label_voxels + row.referees_voxels for row in rows)


def _of_class(item: AuditedClass, evidence: Sequence[CaseEvidence]) -> Iterator[ClassStatement]:
    ignorant = _folds_that_do_not_know(item.key, evidence)
    unknown = [case for case in evidence if case.fold in ignorant and case.of(item.key).dice is not None]
    if unknown:
        labelled = [case for case in unknown if case.of(item.key).label_voxels]
        found = sum(_finds(case.of(item.key)) for case in labelled)
        everywhere = len(ignorant) == len({case.fold for case in evidence})
        where = "" if everywhere else f" of fold {', '.join(sorted(ignorant))}"
        names = tuple(case.case for case in unknown)
        sentence = (
            f"{item.in_words} could not be judged in {counted(len(unknown), 'case')}: the networks{where} find it in "
            f"{found} of {counted(len(labelled), 'label')}"
        )
        yield ClassStatement(item.name, item.key, "not_judged", names, sentence)
    known = [case for case in evidence if case.fold not in ignorant]
    lost = _lost(item.key, known)
    drawn = sum(bool(case.of(item.key).label_voxels) for case in known)
    if len(lost) >= NOT_DRAWN_CASES and len(lost) >= NOT_DRAWN_FROM * (len(lost) + drawn):
        names = tuple(case.case for case in lost)
        sentence = (
            f"{item.in_words} is probably not annotated in {len(lost)} cases: the networks find it there, and the "
            f"labels have none of it; {counted(drawn, 'label has', 'labels have')} it"
        )
        yield ClassStatement(item.name, item.key, "not_annotated", names, sentence)


def _folds_that_do_not_know(key: str, evidence: Sequence[CaseEvidence]) -> Collection[str]:
    """Folds whose network finds the class nearly nowhere; a fold with few labels of it is judged with all others."""
    labelled = [case for case in evidence if case.of(key).label_voxels]
    ignorant = set()
    for fold in {case.fold for case in evidence}:
        mine = [case for case in labelled if case.fold == fold]
        shown = mine if len(mine) >= LEAST_OF_FOLD else labelled
        if shown and sum(_finds(case.of(key)) for case in shown) < KNOWN_FROM * len(shown):
            ignorant.add(fold)
    return ignorant


def _finds(row: ClassEvidence) -> bool:
    return (row.dice or 0.0) >= LEAST_FOUND


def _lost(key: str, cases: Sequence[CaseEvidence]) -> list[CaseEvidence]:
    """Cases whose label has background where the networks find as much of the class as usual."""
    sizes = [row.referees_voxels for case in cases if (row := case.of(key)).label_voxels]
    least = AS_LARGE * float(np.median(sizes)) if sizes else 0.0
    return [
        case
        for case in cases
        if not (row := case.of(key)).label_voxels
        and row.referees_voxels
        and sum(part.voxels for part in row.missed) >= max(least, row.referees_voxels / 2)
    ]


def _without(case: CaseEvidence, keys: Collection[str]) -> CaseEvidence:
    if not keys:
        return case
    classes = {key: _unseen(row) if key in keys else row for key, row in case.classes.items()}
    return replace(case, classes=classes, whole=None if case.whole is None else _unseen(case.whole))


def _unseen(row: ClassEvidence) -> ClassEvidence:
    """Nothing to compare; the label's size stays, so that it is not called empty."""
    return replace(row, dice=None, displacement=None, extra=(), missed=(), exchanged=(), typical_voxels=0)
