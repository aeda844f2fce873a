"""A number with its noun."""

from __future__ import annotations

from nnunetv2_dale.commands.counted import counted


def test_one_is_no_plural() -> None:
    assert [counted(number, "case") for number in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert [counted(number, "case is", "cases are") for number in (1, 5)] == ["1 case is", "5 cases are"]
