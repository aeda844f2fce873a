"""Numbers and tables of the audit, from `audit.json` and `audit_speed.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.audit_study import before_tables
from benchmarks.audit_study.audit_tables import TABLES

RESULTS = Path(__file__).resolve().parents[1] / "results"


def audit_table(name: str) -> str:
    """A table of `audit_tables.TABLES`."""
    return TABLES[name](_stored())


def audit_first(condition: str, ranking: str = "audit") -> int:
    """How many of the first suspects are wrong, when as many are looked at as labels are wrong."""
    found = _stored()["conditions"][condition]
    return round(found["wrong"] * found["cases_ranked"][ranking]["precision_at_true_number"])


def audit_wrong(condition: str) -> int:
    """How many labels are wrong."""
    return int(_stored()["conditions"][condition]["wrong"])


def audit_total(what: str) -> int:
    """Over all conditions: labels that are "wrong", those of them that were "listed", and "named" rightly."""
    wrong = [each for each in _stored()["conditions"].values() if each["wrong"]]
    totals = {
        "wrong": sum(each["wrong"] for each in wrong),
        "listed": sum(each["named"]["of"] for each in wrong),
        "named": sum(each["named"]["right"] for each in wrong),
    }
    return int(totals[what])


def audit_expected(condition: str) -> str:
    """How many labels the audit itself expects to be wrong."""
    return f"{_stored()['conditions'][condition]['expected']['wrong_cases']:.0f}"


def audit_speed(size: str, what: str) -> str:
    """A number of the speed measurement, `size` "cases", "large" or "before"; an empty text while none is stored."""
    return str(json.loads((RESULTS / "audit_speed.json").read_text()).get(size, {}).get(what, ""))


def audit_before(what: str, first: int = 20) -> str:
    """A table of the audit before any training: "errors", "clean", or the "first" findings on HeadNeckCT; or how many
    of these are "right".
    """
    data = json.loads((RESULTS / "audit_before_training.json").read_text())["data"]
    heads = "Dataset030_HeadNeckCT"
    made = {
        "errors": lambda: before_tables.errors_table(data),
        "clean": lambda: before_tables.clean_table(data),
        "first": lambda: before_tables.judged_table(data, RESULTS / "audit_judged_by_eye.csv", heads, first),
        "right": lambda: str(before_tables.right_of_first(data, heads, first)),
    }
    return made[what]()


def audit_organs(what: str) -> str:
    """A number of the two readers' organs, or an empty text while none is stored."""
    return str(_stored().get("organs", {}).get(what, ""))


def _stored() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads((RESULTS / "audit.json").read_text())
    return stored
