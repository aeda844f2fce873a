"""The result of an audit: findings, ranked cases, and how they are written as JSON and CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from nnunetv2_dale.audit.class_statements import ClassStatement
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.csv_table import write_table
from nnunetv2_dale.nnunet_files.json_files import read_json, record_of
from nnunetv2_dale.nnunet_files.results.misplaced import Misplaced

VERSION = 1
Kind = Literal[
    "wider",
    "narrower",
    "shifted",
    "missed_object",
    "extra_object",
    "exchanged",
    "empty",
    "other_case",
    "flipped",
    "unclear",
    "speck",
    "misplaced",
    "volume",
    "outside",
    "border",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
COLUMNS = ("case", "class", "kind", "score", "size", "unit", "sentence")


@dataclass(frozen=True)
class Finding:
    """One thing that may be wrong with a label."""

    class_name: str  # name of the class; "all classes" where it concerns the whole label
    label: str  # its key in nnU-Net's summaries, "2" or "(1, 2)"; "" for the whole label
    kind: Kind
    score: float  # estimated chance that the label is wrong there, in [0, 1]
    size: float  # in `unit`
    unit: str
    voxel: tuple[int, int, int]  # (z, y, x) of the label file
    world_mm: tuple[float, float, float]  # (x, y, z), RAS+
    sentence: str  # in words


@dataclass(frozen=True)
class AuditedCase:
    """One case: the chance that its label is wrong somewhere, and what was found, most likely first.

    `judged`: False where the networks know none of its classes; its score of 0 says nothing.
    `checksum` is of its label (`label_checksum`); "" in an audit of an earlier version.
    """

    case: str
    fold: str
    score: float
    judged: bool = True
    findings: tuple[Finding, ...] = ()
    checksum: str = ""


@dataclass(frozen=True)
class Audit:
    """All that `audit.json` holds. `cases` are ranked, the most suspicious first."""

    dataset: str
    referees: tuple[str, ...]
    cases: tuple[AuditedCase, ...]
    expected: Mapping[str, Any]
    settings: Mapping[str, Any]
    missing: tuple[str, ...] = ()
    misplaced: tuple[Misplaced, ...] = ()
    classes: tuple[ClassStatement, ...] = ()

    def to_json(self) -> str:
        content = {"version": VERSION, **asdict(self, dict_factory=_as_written)}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _as_written(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A record's fields as JSON has them; `record_of` reads them back."""
    return {
        "class" if name == "class_name" else name: round(value, 4) if name == "score" else value
        for name, value in pairs
    }


def write_csv(audit: Audit, file: Path) -> None:
    """Write one line per finding, in the order of the cases; a case without findings has one line with its score.

    That of a case that could not be judged has no score.
    """
    rows: list[list[str]] = []
    for case in audit.cases:
        for found in case.findings:
            score, size = f"{found.score:.4f}", f"{found.size:g}"
            rows.append([case.case, found.class_name, found.kind, score, size, found.unit, found.sentence])
        if not case.findings:
            rows.append([case.case, "", "", f"{case.score:.4f}" if case.judged else "", "", "", ""])
    write_table(file, COLUMNS, rows)


def read_audit(file: Path) -> Audit:
    """Read an `audit.json`; a `UserError` where there is none, or one of another version."""
    try:
        content = read_json(file)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}, expected {VERSION}")
        return record_of(Audit, content)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is no result of this audit ({error!r}); run the audit again") from error
