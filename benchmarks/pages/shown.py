"""How numbers and tables are written on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def signed(value: float) -> str:
    """With one digit, a sign, and a true minus; 0.0 has no sign."""
    text = f"{value:+.1f}".replace("-", "−")
    return text[1:] if text[1:] == "0.0" else text


def between(low: float, high: float, digits: int = 1) -> str:
    """A range; signs only where a bound is not above 0."""
    return f"{low:.{digits}f} to {high:.{digits}f}" if low > 0 else f"{signed(low)} to {signed(high)}"


def columns(table: str, titles: Sequence[str]) -> str:
    """A Markdown table with these columns alone."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    places = [rows[0].index(title) for title in titles]
    return "\n".join("| " + " | ".join(row[place] for place in places) + " |" for row in rows)


def stacked(title: str, tables: Mapping[str, str]) -> str:
    """Markdown tables of the same columns as one, with the name of each in a first column."""
    head, rule = next(iter(tables.values())).splitlines()[:2]
    assert all(table.splitlines()[0] == head for table in tables.values())
    lines = [f"| {title} {head}", f"| --- {rule}"]
    return "\n".join(lines + [f"| {name} {row}" for name, table in tables.items() for row in table.splitlines()[2:]])
