"""`decisions.csv`: what a person decided about each finding."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.audit.findings import KINDS, Audit
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.csv_table import read_table

CHOICES = ("accept", "fix", "exclude")
COLUMNS = ("case", "class", "label", "kind", "decision", "score", "sentence")


@dataclass(frozen=True)
class Decision:
    """One line: `decision` is one of `CHOICES`, or empty where nothing was decided yet."""

    case: str
    label: str
    kind: str
    decision: str
    sentence: str


def write_template(audit: Audit, file: Path) -> None:
    """A table of all findings with an empty column for the decision."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for case in audit.cases:
            for found in case.findings:
                row = [case.case, found.class_name, found.label, found.kind, "", f"{found.score:.4f}", found.sentence]
                writer.writerow(row)


def read_decisions(file: Path) -> list[Decision]:
    """Read a table; lines without a decision are left out.

    Raises:
        UserError: no such file, other columns, a decision that there is not, or two for one finding.
    """
    decided: dict[tuple[str, str, str], Decision] = {}
    for row in read_table(file, ["case", "label", "kind", "decision"]):
        finding, decision = (row["case"], row["label"], row["kind"]), row["decision"].lower()
        shown = f"{file}, case {row['case']}, label {row['label']}, {row['kind']}"
        if decision and decision not in CHOICES:
            raise UserError(f"{shown}: expected the decision {', '.join(CHOICES)} or nothing, got {decision!r}")
        if row["kind"] not in KINDS:
            raise UserError(f"{shown}: {row['kind']!r} is no kind of finding ({', '.join(KINDS)})")
        if decision and decided.setdefault(finding, _decision(row)).decision != decision:
            raise UserError(f"{shown}: decided twice, {decided[finding].decision} and {decision}; keep one of them")
    return list(decided.values())


def _decision(row: Mapping[str, str]) -> Decision:
    return Decision(row["case"], row["label"], row["kind"], row["decision"].lower(), row.get("sentence", ""))


def accepted_findings(decisions: Sequence[Decision]) -> frozenset[tuple[str, str, str]]:
    """(case, class key, kind) of what was found right."""
    return frozenset((each.case, each.label, each.kind) for each in decisions if each.decision == "accept")


def cases_to(choice: str, decisions: Sequence[Decision]) -> Collection[str]:
    """The cases with a decision, in the order of the table; a case that is to be excluded is not to be fixed."""
    excluded = {each.case for each in decisions if each.decision == "exclude"}
    chosen = [each.case for each in decisions if each.decision == choice]
    return list(dict.fromkeys(case for case in chosen if choice == "exclude" or case not in excluded))
