"""The pieces of the page's tables: columns, cells and how numbers are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Cell = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A caption, columns and rows, as the shared template `table` takes them."""

    caption: str
    words: Sequence[str]  # columns of words, which come first
    numbers: Mapping[str, str]  # columns of numbers and, to be shown on their headers, what they are
    rows: list[list[Any]]  # a cell, text or number for each column

    @property
    def columns(self) -> list[dict[str, Any]]:
        """Return each column's name, whether it holds numbers, and its help."""
        words = [{"name": name, "numeric": False, "help": ""} for name in self.words]
        return [*words, *({"name": name, "numeric": True, "help": text} for name, text in self.numbers.items())]


def cell(text: str, sort: Any, kind: str = "") -> Cell:
    """Return a cell that shows `text`, sorts by `sort` and has the CSS class `kind`."""
    return {"text": text, "sort": sort, "class": kind}


def missing() -> Cell:
    """Return a cell without a value; it sorts last in both directions."""
    return cell("–", "", "missing")


def number(value: float | None, form: str, factor: float = 1) -> Cell:
    """Return a number times `factor` as a format specification says; it sorts by the number itself."""
    return missing() if value is None else cell(with_minus(format(factor * value, form)), value)


def counts(*values: int) -> list[Cell]:
    """Return a cell for each whole number."""
    return [number(value, "d") for value in values]


def number_cell(value: float | None, unit: str, kind: str = "", sign: bool = False) -> Cell:
    """Return a metric's value with two decimals, or with + or − before them: ratios (unit "") in %."""
    return {**number(value, "+.2f" if sign else ".2f", 1 if unit else 100), **({"class": kind} if kind else {})}


def interval_cell(ends: tuple[float, float] | None, unit: str) -> Cell:
    """Return a 95 % interval in a metric's unit; it sorts by its lower end."""
    return missing() if ends is None else cell(interval_text(ends, unit), ends[0])


def interval_text(ends: tuple[float, float], unit: str = "") -> str:
    """Return "−0.10 to +1.20"; ratios in %."""
    return f"{signed(ends[0], unit)} to {signed(ends[1], unit)}"


def signed(value: float, unit: str = "") -> str:
    """Two decimals with + or −; ratios in %."""
    return with_minus(f"{value * (1 if unit else 100):+.2f}")


def with_minus(text: str) -> str:
    """Write the typographic minus, as wide as the plus."""
    return text.replace("-", "−")
