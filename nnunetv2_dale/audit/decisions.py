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
COMMENT = "comment"  # a column that is always there, as if a person had added it
Line = Mapping[str, str]  # column → value


@dataclass(frozen=True)
class Decision:
    """One line: `decision` is one of `CHOICES`, or empty where nothing was decided yet."""

    case: str
    label: str
    kind: str
    decision: str
    sentence: str


@dataclass(frozen=True)
class DecisionTable:
    """The table to be filled in.

    Attributes:
        columns: `COLUMNS`, then those that a person added, among them `COMMENT`.
        listed: a line per finding, in the order of the audit.
        kept: lines of earlier decisions on what is no longer a finding.
    """

    columns: tuple[str, ...]
    listed: tuple[Line, ...]
    kept: tuple[Line, ...]


def decision_table(audit: Audit, earlier: Sequence[Line] = ()) -> DecisionTable:
    """A line for each finding; what a person decided or noted earlier stands in it again, and none of it is left out.

    Args:
        earlier: from `read_lines`.
    """
    before = {_finding(line): line for line in earlier}
    added = tuple(
        dict.fromkeys([*(name for line in earlier for name in line if name and name not in COLUMNS), COMMENT])
    )
    columns = (*COLUMNS, *added)
    listed = []
    for case in audit.cases:
        for found in case.findings:
            old = before.pop((case.case, found.label, found.kind), {})
            own = (found.class_name, found.label, found.kind, old.get("decision", ""), f"{found.score:.4f}")
            values = (case.case, *own, found.sentence, *(old.get(name, "") for name in added))
            listed.append(dict(zip(columns, values, strict=True)))
    kept = [{name: line.get(name, "") for name in columns} for line in before.values() if is_filled_in(line)]
    return DecisionTable(columns, tuple(listed), tuple(kept))


def write_template(table: DecisionTable, file: Path) -> None:
    """Write the table, to be filled in."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, table.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows((*table.listed, *table.kept))


def read_lines(file: Path) -> list[Line]:
    """Read a table; one line per finding, also where nothing was decided.

    Raises:
        UserError: no such file, other columns, a decision that there is not, or two for one finding.
    """
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in read_table(file, ["case", "label", "kind", "decision"]):
        decision = row["decision"] = row["decision"].lower()
        shown = f"{file}, case {row['case']}, label {row['label']}, {row['kind']}"
        if decision and decision not in CHOICES:
            raise UserError(f"{shown}: expected the decision {', '.join(CHOICES)} or nothing, got {decision!r}")
        if row["kind"] not in KINDS:
            raise UserError(f"{shown}: {row['kind']!r} is no kind of finding ({', '.join(KINDS)})")
        line = lines.setdefault(_finding(row), row)
        if decision and line["decision"] not in ("", decision):
            raise UserError(f"{shown}: decided twice, {line['decision']} and {decision}; keep one of them")
        line["decision"] = line["decision"] or decision
    return list(lines.values())


def read_decisions(file: Path) -> list[Decision]:
    """Read a table; lines without a decision are left out.

    Raises:
        UserError: as `read_lines`.
    """
    return decisions_in(read_lines(file))


def decisions_in(lines: Sequence[Line]) -> list[Decision]:
    """The lines with a decision."""
    return [Decision(*_finding(line), line["decision"], line.get("sentence", "")) for line in lines if line["decision"]]


def is_filled_in(line: Line) -> bool:
    """Whether a person wrote anything into a line: a decision, or something in a column of their own."""
    return any(value for name, value in line.items() if name == "decision" or name not in COLUMNS)


def _finding(line: Line) -> tuple[str, str, str]:
    return line["case"], line["label"], line["kind"]


def accepted_findings(decisions: Sequence[Decision]) -> frozenset[tuple[str, str, str]]:
    """(case, class key, kind) of what was found right."""
    return frozenset((each.case, each.label, each.kind) for each in decisions if each.decision == "accept")


def cases_to(choice: str, decisions: Sequence[Decision]) -> Collection[str]:
    """The cases with a decision, in the order of the table; a case that is to be excluded is not to be fixed."""
    excluded = {each.case for each in decisions if each.decision == "exclude"}
    chosen = [each.case for each in decisions if each.decision == choice]
    return list(dict.fromkeys(case for case in chosen if choice == "exclude" or case not in excluded))
