"""The audit's tables by hand."""

from __future__ import annotations

from pathlib import Path

from benchmarks.audit_study import audit_tables as tables
from benchmarks.audit_study import before_tables
from tests.benchmarks.tables import cells


def quality(auroc: float) -> dict[str, float]:
    return {"auroc": auroc, "average_precision": auroc / 2, "precision_at_true_number": 0.5, "effort_80": auroc / 4}


RANKED = {name: quality(0.8) for name in tables.RIVALS} | {"audit": quality(0.9)}
STORED = {
    "conditions": {
        "with errors": {
            **{"cases": 100, "wrong": 10, "wrong_dice_at_most_0.8": 6, "expected": {"wrong_cases": 9.5}},
            **{"false_findings_per_100_right": {"score >= 0.2": 3.33, "score >= 0.5": 1.1}, "cases_ranked": RANKED},
            **{tables.BAD: RANKED, "named": {"right": 7, "of": 8}, "missed": [{"case": "a"}, {"case": "b"}]},
        },
        "clean": {
            **{"cases": 50, "wrong": 0, "expected": {"wrong_cases": 1.0}},
            "false_findings_per_100_right": {"score >= 0.2": 2.0, "score >= 0.5": 0.0},
        },
    }
}


def test_cases_by_hand() -> None:
    others = ["0.800 / 0.400"] * 3
    assert cells(tables.cases_table(STORED)) == [["with errors", "100", "10", "0.900 / 0.450", *others]]
    assert cells(tables.cases_table(STORED, tables.BAD)) == [["with errors", "96", "6", "0.900 / 0.450", *others]]


def test_effort_by_hand() -> None:
    wrong, clean = cells(tables.effort_table(STORED))
    assert wrong == ["with errors", "10 / 9.5", "3.3", "1.1", "2", "7 of 8", "22.5% (20.0%)"]
    assert clean == ["clean", "0 / 1", "2.0", "0.0", "", "", ""]


BEFORE = {
    "Dataset030_HeadNeckCT": {
        "cases": 120,
        "errors": {"specks": {"auroc": 0.98765, "named": 5, "wrong": 6, "false_per_100": 2.04}},
        "as_it_is": {
            "findings": {"right": 1, "wrong": 1},
            "wrong_per_100": 0.84,
            "wrong_or_arguable_per_100": 0.84,
            "listed": [
                {"case": "a", "class": "jaw", "kind": "speck", "by_eye": "right"},
                {"case": "b", "class": "eye", "kind": "empty", "by_eye": "right"},
                {"case": "c", "class": "eye", "kind": "volume", "by_eye": "wrong"},
            ],
        },
    }
}


def test_before_training_by_hand(tmp_path: Path) -> None:
    judged = tmp_path / "judged.csv"
    judged.write_text("dataset,case,class,kind,by_eye,what\nDataset030_HeadNeckCT,a,jaw,speck,right,a tooth\n")
    assert cells(before_tables.errors_table(BEFORE))[0] == ["specks", "0.988", "5 of 6", "2.0"]
    assert cells(before_tables.clean_table(BEFORE))[0] == ["HeadNeckCT", "120", "1", "0", "1", "0.8 (0.8)"]
    first = cells(before_tables.judged_table(BEFORE, judged, "Dataset030_HeadNeckCT", 2))
    assert first[0] == ["1", "a", "jaw", "speck", "right", "a tooth"]
    assert [first[1][1], len(first)] == ["b", 2]
    assert before_tables.right_of_first(BEFORE, "Dataset030_HeadNeckCT", 3) == 2
