"""The notebooks in examples/ run from the first cell to the last, and are stored without what they print."""

from __future__ import annotations

import csv
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "examples").glob("*.ipynb"))


def run(name: str, folder: Path) -> str:
    """What a notebook prints, run in that folder."""
    notebook = nbformat.read(REPOSITORY / "examples" / name, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_valid_and_stored_without_output(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)
    assert set(notebook.metadata["kernelspec"].values()) == {"Python 3", "python", "python3"}


def test_any_network_trains(tmp_path: Path) -> None:
    printed = run("any_network.ipynb", tmp_path)
    dice = {line.split()[0]: float(line.split()[2].rstrip(",")) for line in printed.splitlines() if " Dice " in line}
    assert set(dice) == {"plain", "DALE"}
    assert min(dice.values()) > 70  # the discs are found


def test_an_audit_is_read(tmp_path: Path) -> None:
    assert "case_10" in run("reading_an_audit.ipynb", tmp_path)
    with (tmp_path / "audit" / "audit.csv").open(newline="", encoding="utf-8") as file:
        first = [(row["case"], row["kind"]) for row in csv.DictReader(file)][:2]
    assert first == [("case_10", "empty"), ("case_03", "wider")]
