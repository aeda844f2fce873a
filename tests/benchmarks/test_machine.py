"""The command that a result keeps: no folder of the machine it was made on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.machine import command_line
from tests.conftest import REPOSITORY

RESULTS = sorted((REPOSITORY / "benchmarks/results").rglob("*.json*"))


def test_of_folders_the_command_keeps_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(tmp_path / "somewhere" / "audit.py")
    monkeypatch.setattr(sys, "argv", [here, "measure", "--workspace", str(tmp_path / "study"), "--only", "4", "a/b"])
    assert command_line() == "python -m benchmarks.audit measure --workspace study --only 4 a/b"


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.name)
def test_no_stored_command_names_a_folder_of_a_machine(file: Path) -> None:
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.suffix == ".jsonl" else []
    for result in rows or [json.loads(file.read_text())]:
        assert not [word for word in str(result.get("command", "")).split() if Path(word).is_absolute()]
