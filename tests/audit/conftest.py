"""A dataset with three wrong labels, its cross-validation and its audit, made once; each test has a copy."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_dale.audit.apply import AppliedDecisions, apply_decisions
from nnunetv2_dale.audit.decisions import write_lines
from tests.audit.fixtures import audit_of, make_study
from tests.datasets import ELLIPSOIDS, rows_of

ERRORS = {1: "wider", 4: "missed_object", 6: "exchanged"}
NEW = "Dataset104_Ellipsoids"


@dataclass(frozen=True)
class Study:
    """A dataset, its cross-validation and its audit."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "raw" / ELLIPSOIDS

    @property
    def new(self) -> Path:
        return self.root / "raw" / NEW

    @property
    def audit(self) -> Path:
        return self.root / "audit"

    @property
    def results(self) -> Path:
        return next((self.root / "results").glob("*/*"))

    def decide(self, decisions: Mapping[str, str], name: str = "decisions", columns: Sequence[str] = ()) -> Path:
        """The audit's own table with decisions by case, of some columns or all."""
        table = rows_of(self.audit / "decisions.csv")
        rows = [row | {"decision": decisions.get(row["case"], "")} for row in table]
        file = self.audit / f"{name}.csv"
        write_lines(columns or list(rows[0]), rows, file)
        return file

    def words(self, decisions: Mapping[str, str], *more: str) -> list[str]:
        """The command on the audit's own table with these decisions."""
        return ["apply", str(self.decide(decisions)), "-d", "777", "--new_id", "104", *more]

    def apply(self, *files: Path, dataset: str = "777") -> AppliedDecisions:
        return apply_decisions(files, self.audit, dataset, 104)

    def audit_again(self, *words: str) -> dict[str, dict[str, Any]]:
        """Another audit: case → what audit.json says of it, and "" → all of that."""
        found = audit_of(self.results, self.root / "second", *words)
        return {"": found, **{case["case"]: case for case in found["cases"]}}


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = tmp_path_factory.mktemp("audited")
    audit_of(make_study(root, ERRORS, 16)[1], root / "audit")
    return Study(root)


@pytest.fixture
def study(audited: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    shutil.copytree(audited.root, tmp_path / "study")
    for file in (*tmp_path.rglob("summary.json"), tmp_path / "study/audit/audit.html"):  # which name other files
        file.write_text(file.read_text().replace(str(audited.root), str(tmp_path / "study")))
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "study" / "raw"))
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    return Study(tmp_path / "study")
