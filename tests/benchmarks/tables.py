"""What tables show, read back."""

from __future__ import annotations


def cells(table: str) -> list[list[str]]:
    """Of every row below a table's head."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
