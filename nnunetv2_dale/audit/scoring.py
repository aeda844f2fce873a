"""From the evidence of all cases to ranked cases with findings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask
from nnunetv2_dale.audit.class_statements import class_statements, is_judged, judged_evidence
from nnunetv2_dale.audit.evidence import CaseEvidence
from nnunetv2_dale.audit.findings import AuditedCase, Finding, Kind
from nnunetv2_dale.audit.kinds import Suspicion, suspicions, unclear
from nnunetv2_dale.audit.null_model import wrong_and_right
from nnunetv2_dale.audit.sentences import in_words
from nnunetv2_dale.audit.unusual import image_of_cases, unusual_cases, unusual_class
from nnunetv2_dale.nnunet_files.geometry import world_mm
from nnunetv2_dale.statistics.usual_values import Floats, as_elsewhere

LISTED_FROM = 0.2  # score from which a finding is listed
Accepted = Collection[tuple[str, str, str]]


@dataclass(frozen=True)
class Judgement:
    """A ranked case and what the maps need: the chance of each class, and the kinds that are listed for it."""

    audited: AuditedCase
    class_chances: dict[str, float]
    class_kinds: dict[str, frozenset[Kind]]


def rank_cases(evidence: Sequence[CaseEvidence], task: AuditTask, accepted: Accepted = ()) -> list[Judgement]:
    """Rank all cases, the most suspicious first.

    Args:
        accepted: (case, class key, kind) that a person found right in an earlier audit; not asked again. A case whose
            findings were all accepted goes to the end of the list, with a score of 0.
    Returns:
        every case from a score of `LISTED_FROM` has a finding, but for what was accepted. Classes that
        `class_statements` speaks of are not judged in the cases it names.
    """
    evidence = judged_evidence(evidence, class_statements(evidence, task))
    unusual = [unusual_class(evidence, item.key) for item in task.classes]
    whole = unusual_class(evidence, "") if task.whole else None
    folds = [case.fold for case in evidence]
    values = as_elsewhere(unusual_cases([*unusual, whole] if whole else unusual), folds)
    groups = wrong_and_right(values, image_of_cases(unusual))
    class_chances = np.stack([wrong_and_right(as_elsewhere(np.cbrt(each.squares), folds)).chance for each in unusual])
    known = [each for case in evidence if (each := case.agreement) is not None]
    agreement = float(np.median(known)) if known else 0.0
    classes = {item.key: item for item in task.classes}
    ranked = []
    for number in np.lexsort((-groups.z, -groups.chance)).tolist():
        case, chance = evidence[number], float(groups.chance[number])
        highest = float(class_chances[:, number].max()) or 1.0
        chances = {
            item.key: chance * float(class_chances[row, number]) / highest for row, item in enumerate(task.classes)
        }
        found = suspicions(case, number, whole, unusual, agreement)
        listed = [
            _finding(score, each, case, classes)
            for each in found
            if (score := chances.get(each.key, chance)) >= LISTED_FROM
        ]
        if chance >= LISTED_FROM and not listed and (last := unclear(case, number, unusual)):
            chances[last.key] = chance
            found.append(last)
            listed = [_finding(chance, last, case, classes)]
        asked = [each for each in listed if (case.case, each.label, each.kind) not in accepted]
        asked.sort(key=lambda each: -each.score)
        score = 0.0 if listed and not asked else chance
        audited = AuditedCase(case.case, case.fold, score, is_judged(case), tuple(asked), case.checksum)
        kinds = {key: frozenset(each.kind for each in found if each.key == key) for key in {each.key for each in found}}
        ranked.append(Judgement(audited, chances, kinds))
    return sorted(ranked, key=lambda each: each.audited.score == 0.0)


def expected_effort(cases: Sequence[AuditedCase]) -> dict[str, Any]:
    """Estimate how many labels are wrong, and how many cases from the top hold 80 % of them."""
    found: Floats = np.cumsum([case.score for case in cases])
    total = float(found[-1]) if len(cases) else 0.0
    needed = int(np.searchsorted(found, 0.8 * total - 1e-9)) + 1 if total > 0 else 0
    return {
        "wrong_cases": round(total, 1),
        "cases_for_80_percent": needed,
        "of_cases": len(cases),
        "judged_cases": sum(case.judged for case in cases),
    }


def _finding(score: float, suspicion: Suspicion, case: CaseEvidence, classes: dict[str, AuditedClass]) -> Finding:
    size, unit, sentence = in_words(suspicion, case, classes)
    k, j, i = suspicion.voxel
    x, y, z = world_mm(case.affine, suspicion.voxel)
    name = classes[suspicion.key].name if suspicion.key else "all classes"
    return Finding(name, suspicion.key, suspicion.kind, score, size, unit, (k, j, i), (x, y, z), sentence)
