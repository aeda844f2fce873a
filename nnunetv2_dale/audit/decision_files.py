"""Tables of decisions as people hand them in: of one or several, from an editor, a spreadsheet or pandas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dale.audit.decisions import CHOICES, WHO, Decision, Line, decisions_in, finding_of, is_filled_in
from nnunetv2_dale.audit.findings import KINDS
from nnunetv2_dale.commands.command_line import UserError, first_of
from nnunetv2_dale.commands.csv_table import own_name, read_numbered_table
from nnunetv2_dale.nnunet_files.results.class_keys import own_key

MOST_NAMED = 20  # contradictions, in a message


@dataclass(frozen=True)
class KnownNames:
    """What a table may name: the dataset's cases, and its classes with their keys."""

    cases: frozenset[str]
    labels: Mapping[str, str]


def read_lines(*files: Path, known: KnownNames | None = None) -> list[Line]:
    """Read tables and take them together; one line per finding, also where nothing was decided.

    A line of another checksum is of another label of that case, so it stays on its own. Of several tables each
    decision has who made it: what the table says, else the table's name.

    Args:
        known: names to recognise where a spreadsheet took them for numbers: label 2.0, case 5 for 005.
    Raises:
        UserError: no such file, other columns, names that are not known, a decision that there is not, or different
            ones for one finding.
    """
    people = _names_of(files) if len(files) > 1 else [""] * len(files)
    rows = []
    for file, person in zip(files, people, strict=True):
        for number, row in read_numbered_table(file, ["case", "label", "kind", "decision"]):
            where = f"{file}, line {number}"
            line = _checked(row, where) | (_recognised(row, known, where) if known else {})
            if person and line["decision"]:
                line[WHO] = line.get(WHO, "") or person
            rows.append((where, line))
    return _together(rows)


def without_redrawn(lines: Sequence[Line], checksums: Mapping[str, str]) -> tuple[list[Line], list[Decision]]:
    """Return the lines without the decisions on labels that were drawn anew since, and these decisions.

    Args:
        checksums: case → checksum of its label now. A line without a checksum, of an earlier version, counts as it is.
    """
    current, redrawn = [], []
    for line in lines:
        now, then = checksums.get(line["case"], ""), line.get("checksum", "")
        if now and then and now != then:
            redrawn += decisions_in([line])
            line = {**line, "decision": "", "checksum": ""} | ({WHO: ""} if WHO in line else {})
        current.append(line)
    return _together([("", line) for line in current]), redrawn


def not_among(lines: Sequence[Line], cases: Collection[str]) -> list[str]:
    """Return the cases that lines of a person are about and that are not among `cases`."""
    return list(dict.fromkeys(line["case"] for line in lines if line["case"] not in cases and is_filled_in(line)))


def _names_of(files: Sequence[Path]) -> list[str]:
    """A file's name without its ending; with its folder where two have one name."""
    names = [file.stem for file in files]
    return names if len(set(names)) == len(files) else [str(file.with_suffix("")) for file in files]


def _checked(row: Mapping[str, str], where: str) -> dict[str, str]:
    line = {**row, "kind": row["kind"].lower(), "decision": row["decision"].lower()}
    shown = f"{where}: case {row['case']}, label {row['label']}, {row['kind']}"
    if line["decision"] and line["decision"] not in CHOICES:
        raise UserError(f"{shown}: expected the decision {', '.join(CHOICES)} or nothing, got {line['decision']!r}")
    if line["kind"] not in KINDS:
        raise UserError(f"{shown}: {row['kind']!r} is no kind of finding ({', '.join(KINDS)})")
    return line


def _recognised(row: Mapping[str, str], known: KnownNames, where: str) -> dict[str, str]:
    """Case and class key of a row as the dataset has them; a case that it does not have stays as it is."""
    label = row["label"]
    with suppress(ValueError):
        label = label and own_key(label, known.labels)
    if label and label not in known.labels.values():
        expected = "; ".join(f"{key} ({name})" for name, key in known.labels.items())
        raise UserError(
            f"{where}: the dataset has no label {label!r}; expected {expected}, or nothing for the whole label"
        )
    return {"case": own_name(row["case"], known.cases, where), "label": label}


def _together(rows: Iterable[tuple[str, Line]]) -> list[Line]:
    """One line per finding and label."""
    lines: dict[tuple[str, str, str], list[tuple[str, Line]]] = {}
    twice = []
    for where, line in rows:
        others = lines.setdefault(finding_of(line), [])
        place = next((place for place, (_, other) in enumerate(others) if _of_one_label(line, other)), None)
        if place is None:
            others.append((where, line))
            continue
        before, other = others[place]
        decided = {line["decision"], other["decision"]} - {""}
        if len(decided) > 1:
            twice.append(f"{_in_words(line)}: {other['decision']} ({before}) and {line['decision']} ({where})")
        others[place] = (before if other["decision"] else where, _joined(other, line))
    if twice:
        findings = "a finding is" if len(twice) == 1 else f"{len(twice)} findings are"
        listed = "\n  ".join(first_of(twice, MOST_NAMED))
        raise UserError(f"{findings} decided twice; keep one decision of each:\n  {listed}")
    return [line for each in lines.values() for _, line in each]


def _of_one_label(line: Line, other: Line) -> bool:
    checksums = {line.get("checksum", ""), other.get("checksum", "")} - {""}
    return len(checksums) < 2


def _joined(line: Line, other: Line) -> Line:
    """Two lines on one finding: notes of both, and whoever decided."""
    joined = {name: line.get(name, "") or other.get(name, "") for name in {**line, **other}}
    own = [name for name in joined if is_filled_in({name: "text"}) and name != "decision"]
    return joined | {name: "; ".join(dict.fromkeys(filter(None, (line.get(name), other.get(name))))) for name in own}


def _in_words(line: Line) -> str:
    label = f"label {line['label']}" if line["label"] else "the whole label"
    return f"case {line['case']}, {label}, {line['kind']}"
