"""`decisions.csv`: what a person decided about each finding."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.audit.findings import Audit
from nnunetv2_dale.commands.csv_table import write_table

CHOICES = ("accept", "fix", "exclude")
COLUMNS = ("case", "class", "label", "kind", "decision", "score", "sentence", "checksum")
COMMENT = "comment"  # a column that is always there, as if a person had added it
WHO = "who"  # a column that tables of several people have
Line = Mapping[str, str]  # column → value


@dataclass(frozen=True)
class Decision:
    """One line: `decision` is one of `CHOICES`; `who` decided and what they noted, where that is known."""

    case: str
    label: str
    kind: str
    decision: str
    sentence: str
    who: str = ""
    comment: str = ""

    @property
    def in_words(self) -> str:
        """What was decided: "exclude (wider, label 1, by anna)"."""
        by = f", by {self.who}" if self.who else ""
        return f"{self.decision} ({self.kind}, {f'label {self.label}' if self.label else 'the whole label'}{by})"


@dataclass(frozen=True)
class DecisionTable:
    """The table to be filled in."""

    columns: tuple[str, ...]  # `COLUMNS`, then those that a person added, among them `COMMENT`
    listed: tuple[Line, ...]  # a line per finding, in the order of the audit
    kept: tuple[Line, ...]  # lines of earlier decisions on what is no longer a finding


def decision_table(audit: Audit, earlier: Sequence[Line] = ()) -> DecisionTable:
    """Return a line for each finding; what a person decided or noted earlier stands in it again, and none of it is left
    out.

    Args:
        earlier: from `read_lines`, of the labels as they are now (`without_redrawn`).
    """
    before = {finding_of(line): line for line in earlier}
    columns = columns_of(earlier)
    listed = []
    for case in audit.cases:
        for found in case.findings:
            old = before.get((case.case, found.label, found.kind), {})
            own = (found.class_name, found.label, found.kind, old.get("decision", ""), f"{found.score:.4f}")
            added = (old.get(name, "") for name in columns[len(COLUMNS) :])
            values = (case.case, *own, found.sentence, case.checksum, *added)
            listed.append(dict(zip(columns, values, strict=True)))
    again = set(map(finding_of, listed))
    kept = [line for line in earlier if finding_of(line) not in again and is_filled_in(line)]
    kept = [{name: line.get(name, "") for name in columns} for line in kept]
    return DecisionTable(columns, tuple(listed), tuple(kept))


def columns_of(lines: Sequence[Line]) -> tuple[str, ...]:
    """Return `COLUMNS`, then those that a person added to the lines, among them `COMMENT`."""
    added = [name for line in lines for name in line if name and name not in COLUMNS]
    return (*COLUMNS, *dict.fromkeys([*added, COMMENT]))


def write_lines(columns: Sequence[str], lines: Sequence[Line], file: Path) -> None:
    """Write a table of decisions."""
    write_table(file, columns, ([line.get(name, "") for name in columns] for line in lines))


def decisions_in(lines: Sequence[Line]) -> list[Decision]:
    """Return the lines with a decision."""
    return [
        Decision(
            *finding_of(line), line["decision"], line.get("sentence", ""), line.get(WHO, ""), line.get(COMMENT, "")
        )
        for line in lines
        if line["decision"]
    ]


def is_filled_in(line: Line) -> bool:
    """Say whether a person wrote anything into a line: a decision, or something in a column of their own."""
    return any(value for name, value in line.items() if name == "decision" or name not in COLUMNS)


def finding_of(line: Line) -> tuple[str, str, str]:
    """Return (case, class key, kind): what a line decides on."""
    return line["case"], line["label"], line["kind"]


def accepted_findings(decisions: Sequence[Decision]) -> frozenset[tuple[str, str, str]]:
    """Return (case, class key, kind) of what was found right."""
    return frozenset((each.case, each.label, each.kind) for each in decisions if each.decision == "accept")


def cases_to(choice: str, decisions: Sequence[Decision]) -> Collection[str]:
    """Return the cases with a decision, in the order of the table; a case that is to be excluded is not to be fixed."""
    excluded = {each.case for each in decisions if each.decision == "exclude"}
    chosen = [each.case for each in decisions if each.decision == choice]
    return list(dict.fromkeys(case for case in chosen if choice == "exclude" or case not in excluded))


def overruled(decisions: Sequence[Decision]) -> list[str]:
    """Return a sentence for each case that one decision excludes although others have it stay."""
    sentences = []
    for case in cases_to("exclude", decisions):
        of_case = [each for each in decisions if each.case == case]
        first = next(each for each in of_case if each.decision == "exclude")
        others = [each.in_words for each in of_case if each.decision != "exclude"]
        if others:
            sentences.append(f"{case} is excluded: {first.in_words}, against {', '.join(others)}")
    return sentences
