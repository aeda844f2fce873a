"""A number with its noun; a time span."""

from __future__ import annotations

from nnunetv2_dale.commands.counted import counted, duration


def test_one_is_no_plural() -> None:
    assert [counted(number, "case") for number in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert [counted(number, "case is", "cases are") for number in (1, 5)] == ["1 case is", "5 cases are"]


def test_durations() -> None:
    seconds = (None, 40, 7 * 60 + 5, 2 * 3600 + 5 * 60, 76 * 3600)
    assert [duration(value) for value in seconds] == ["", "40 s", "7 min", "2 h 05 min", "3 d 4 h"]
