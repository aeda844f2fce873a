"""Folds with probabilities beside folds without: everything is judged as if all had them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from nnunetv2_dale.audit.audit_task import AuditTask
from nnunetv2_dale.audit.evidence import CaseEvidence, evidence_of
from nnunetv2_dale.audit.referees import audit_task
from nnunetv2_dale.audit.scoring import expected_effort, rank_cases
from nnunetv2_dale.audit.units import remarks_on_units
from tests.audit.fixtures import make_study, save_probabilities
from tests.datasets import ELLIPSOIDS

CASES, FOLDS = 60, 5
KINDS = ("wider", "missed_object", "exchanged", "shifted", "narrower", "empty", "extra_object", "flipped", "other_case")
WRONG = {6 * number + 3: kind for number, kind in enumerate(KINDS)}


def measured(folder: Path) -> tuple[AuditTask, list[CaseEvidence]]:
    task = audit_task([folder], references=folder.parents[2] / "raw" / ELLIPSOIDS / "labelsTr")
    return task, [evidence_of(inputs, task) for inputs in task.cases]


def expected_number(cases: list[CaseEvidence], task: AuditTask) -> float:
    return float(expected_effort([each.audited for each in rank_cases(cases, task)])["wrong_cases"])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[AuditTask, list[CaseEvidence], list[CaseEvidence]]:
    """(task, evidence without, evidence with probabilities)."""
    _, (folder,) = make_study(tmp_path_factory.mktemp("mixed"), WRONG, CASES, folds=FOLDS)
    _, hard = measured(folder)
    save_probabilities(folder)
    task, soft = measured(folder)
    return task, hard, soft


MIXTURES = [folds for count in range(FOLDS + 1) for folds in itertools.combinations("01234", count)]


@pytest.mark.parametrize("with_npz", MIXTURES, ids=["".join(folds) or "none" for folds in MIXTURES])
def test_every_mixture_finds_the_same(with_npz: tuple[str, ...], study) -> None:
    task, hard, soft = study
    mixed = [b if b.fold in with_npz else a for a, b in zip(hard, soft, strict=True)]
    judged = rank_cases(mixed, task)
    first = {each.audited.case for each in judged[: len(WRONG)]}
    assert first == {f"case_{number:02d}" for number in WRONG}
    assert all(each.audited.findings for each in judged[: len(WRONG)])
    for unmixed in (hard, soft):
        assert (
            expected_number(unmixed, task) / 1.5 < expected_number(mixed, task) < 1.5 * expected_number(unmixed, task)
        )
    assert bool(remarks_on_units(mixed)) == (0 < len(with_npz) < FOLDS)


def test_cases_with_fewer_referees_are_judged_in_shared_units(study) -> None:
    """Two networks that vote are unsure in places; where one of them is missing, the other never is."""
    task, hard, soft = study
    mixed = [replace(b, referees=2) if int(b.fold) < 3 else a for a, b in zip(hard, soft, strict=True)]
    first = {each.audited.case for each in rank_cases(mixed, task)[: len(WRONG)]}
    assert first == {f"case_{number:02d}" for number in WRONG}


def test_saturated_probabilities_are_taken_as_yes_or_no(tmp_path: Path) -> None:
    """nnU-Net #2763: exact 0 and 1 in half precision. Order and scores are those without probabilities, and told."""
    _, (folder,) = make_study(tmp_path, {3: "wider", 8: "missed_object"}, 20)
    task, hard = measured(folder)
    for file in folder.glob("fold_*/validation/*.nii.gz"):
        drawn = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))
        sure = np.stack([drawn == value for value in range(3)]).astype(np.float16)
        np.savez_compressed(file.with_name(file.name.replace(".nii.gz", ".npz")), probabilities=sure)
    task, saturated = measured(folder)
    assert [each.audited for each in rank_cases(saturated, task)] == [each.audited for each in rank_cases(hard, task)]
    assert any("fold 0, 1 are all exactly 0 or 1" in sentence for sentence in remarks_on_units(saturated))


def test_one_case_per_fold_borrows_from_all(tmp_path: Path) -> None:
    """nnU-Net #2376: leave one out. The wrong ones lead, and it is told."""
    _, (folder,) = make_study(tmp_path, {3: "wider", 8: "missed_object", 20: "shifted"}, 30, folds=30)
    task, cases = measured(folder)
    assert {each.audited.case for each in rank_cases(cases, task)[:3]} == {"case_03", "case_08", "case_20"}
    assert any("30 of 30 folds have fewer than 3 cases" in sentence for sentence in remarks_on_units(cases))


def test_a_weak_fold_is_told(study) -> None:
    """Every Dice of one fold falls by 0.1, in all classes; where all folds fall nobody is weak."""
    _, hard, _ = study

    def weaker(case: CaseEvidence) -> CaseEvidence:
        rows = {key: replace(row, dice=row.dice and row.dice - 0.1) for key, row in case.classes.items()}
        return replace(case, classes=rows)

    (told,) = remarks_on_units([weaker(case) if case.fold == "2" else case for case in hard])
    assert told.startswith("the network of fold 2 agrees less")
    assert "its 12 cases" in told
    assert remarks_on_units(hard) == remarks_on_units([weaker(case) for case in hard]) == []
