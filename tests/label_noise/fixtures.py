"""The command on one small dataset."""

from __future__ import annotations

from pathlib import Path

from nnunetv2_dale.label_noise.cli import main
from tests.datasets import rows_of

TURNED = {"spacing_zyx": (2.0, 1.1, 0.9), "origin": (5.0, -3.0, 2.0), "direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}


def run(*arguments: str) -> int:
    return main(["-d", "4", "--new_id", "904", "-np", "1", *arguments])


def table_of(copy: Path) -> dict[str, dict[str, str]]:
    return {row["case"]: row for row in rows_of(copy / "label_noise.csv")}
