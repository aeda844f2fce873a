"""A number with its noun, and a time span, as a sentence says them."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return "1 case" or "3 cases".

    Args:
        one: the noun, with what else depends on the number: "case is".
        many: where it is not `one` with an s: "cases are".
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """Seconds as ``3 d 4 h``, ``2 h 05 min``, ``7 min`` or ``40 s``; empty for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes:02d} min"
