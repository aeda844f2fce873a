"""The audit's tables by hand."""

from __future__ import annotations

from benchmarks.audit_study import audit_tables as tables


def quality(auroc: float) -> dict[str, float]:
    return {"auroc": auroc, "average_precision": auroc / 2, "precision_at_true_number": 0.5, "effort_80": auroc / 4}


RANKED = {name: quality(0.8) for name in tables.RIVALS} | {"audit": quality(0.9)}
STORED = {
    "conditions": {
        "with errors": {
            "cases": 100,
            "wrong": 10,
            "wrong_dice_at_most_0.8": 6,
            "expected": {"wrong_cases": 9.5},
            "false_findings_per_100_right": {"score >= 0.2": 3.33, "score >= 0.5": 1.1},
            "cases_ranked": RANKED,
            tables.BAD: RANKED,
            "named": {"right": 7, "of": 8},
            "missed": [{"case": "a"}, {"case": "b"}],
        },
        "clean": {
            "cases": 50,
            "wrong": 0,
            "expected": {"wrong_cases": 1.0},
            "false_findings_per_100_right": {"score >= 0.2": 2.0, "score >= 0.5": 0.0},
        },
    }
}


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_cases_by_hand() -> None:
    others = ["0.800 / 0.400"] * 3
    assert cells(tables.cases_table(STORED))[2:] == [["with errors", "100", "10", "0.900 / 0.450", *others]]
    assert cells(tables.cases_table(STORED, tables.BAD))[2:] == [["with errors", "96", "6", "0.900 / 0.450", *others]]


def test_effort_by_hand() -> None:
    wrong, clean = cells(tables.effort_table(STORED))[2:]
    assert wrong == ["with errors", "10 / 9.5", "3.3", "1.1", "2", "7 of 8", "22.5% (20.0%)"]
    assert clean == ["clean", "0 / 1", "2.0", "0.0", "", "", ""]
