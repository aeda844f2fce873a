"""A number with its noun, as a sentence says it."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return "1 case" or "3 cases".

    Args:
        one: the noun, with what else depends on the number: "case is".
        many: where it is not `one` with an s: "cases are".
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
