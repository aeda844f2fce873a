"""The pieces of the page's tables: columns, cells and how numbers are printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Cell = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A caption, columns and rows; a row is a list of cells."""

    caption: str
    columns: list[dict[str, Any]] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)


def column(name: str) -> dict[str, Any]:
    """Return a column of words."""
    return {"name": name, "numeric": False, "help": ""}


def number_column(name: str, explanation: str = "") -> dict[str, Any]:
    """Return a column of numbers; the explanation is shown on the header."""
    return {"name": name, "numeric": True, "help": explanation}


def cell(text: str, sort: Any, kind: str = "") -> Cell:
    """Return a cell that shows `text`, sorts by `sort` and has the CSS class `kind`."""
    return {"text": text, "sort": sort, "class": kind}


def missing() -> Cell:
    """Return a cell without a value; it sorts last in both directions."""
    return {"text": "–", "sort": "", "class": "missing"}


def number(value: float | None, form: str, factor: float = 1) -> Cell:
    """Return a number times `factor` as a format specification says; it sorts by the number itself."""
    return missing() if value is None else cell(with_minus(format(factor * value, form)), value)


def number_cell(value: float | None, unit: str, kind: str = "", sign: bool = False) -> Cell:
    """Return a metric's value: ratios (unit "") in %, distances in their unit."""
    return missing() if value is None else cell(signed(value, unit) if sign else plain(value, unit), value, kind)


def plain(value: float, unit: str) -> str:
    """Two decimals; ratios in %."""
    return with_minus(f"{value * (1 if unit else 100):.2f}")


def signed(value: float, unit: str) -> str:
    """Two decimals with + or −; ratios in %."""
    return with_minus(f"{value * (1 if unit else 100):+.2f}")


def with_minus(text: str) -> str:
    """Write the typographic minus, as wide as the plus."""
    return text.replace("-", "−")
