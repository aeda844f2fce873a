"""`decisions.csv`: what a person decided about each finding."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.audit.findings import KINDS, Audit
from nnunetv2_dale.commands.command_line import UserError

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
        UserError: no such file, other columns, or a decision that there is not.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a table of decisions: {error}") from error
    first = text.partition("\n")[0]
    rows = list(csv.DictReader(text.splitlines(), delimiter=";" if ";" in first and "," not in first else ","))
    needed = {"case", "label", "kind", "decision"}
    if not needed <= set(rows[0] if rows else first.strip().split(",")):
        raise UserError(f"{file} needs the columns {', '.join(sorted(needed))}, as in the decisions.csv of an audit")
    decisions = []
    for number, row in enumerate(rows, start=2):
        decision = (row["decision"] or "").strip().lower()
        if decision and decision not in CHOICES:
            raise UserError(f"{file}, line {number}: expected {', '.join(CHOICES)} or nothing, got {decision!r}")
        if row["kind"] not in KINDS:
            raise UserError(f"{file}, line {number}: {row['kind']!r} is no kind of finding ({', '.join(KINDS)})")
        if decision:
            decisions.append(
                Decision(row["case"], row["label"] or "", row["kind"], decision, row.get("sentence") or "")
            )
    return decisions


def accepted_findings(decisions: Sequence[Decision]) -> frozenset[tuple[str, str, str]]:
    """(case, class key, kind) of what was found right."""
    return frozenset((each.case, each.label, each.kind) for each in decisions if each.decision == "accept")


def cases_to(choice: str, decisions: Sequence[Decision]) -> Collection[str]:
    """The cases with a decision, in the order of the table; a case that is to be excluded is not to be fixed."""
    excluded = {each.case for each in decisions if each.decision == "exclude"}
    chosen = [each.case for each in decisions if each.decision == choice]
    return list(dict.fromkeys(case for case in chosen if choice == "exclude" or case not in excluded))
