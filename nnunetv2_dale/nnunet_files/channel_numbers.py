"""All cases of a dataset must have the same channels: a missing one must not be filled by the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def odd_channels(channels: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Return the cases whose channel numbers are not those that most cases have, with what is wrong.

    Of sets of numbers that are equally frequent, one without a gap is taken for the right one.

    Args:
        channels: case -> its channel numbers, ascending.
    """
    if not channels:
        return {}
    counts = Counter(tuple(numbers) for numbers in channels.values())
    usual = max(counts, key=lambda numbers: (counts[numbers], numbers == tuple(range(len(numbers)))))
    example = next(case for case, numbers in channels.items() if tuple(numbers) == usual)
    return {
        case: f"case {case} has {_shown(numbers)}, but case {example} has {_shown(usual)}; all need the same channels"
        for case, numbers in channels.items()
        if tuple(numbers) != usual
    }


def _shown(numbers: Sequence[int]) -> str:
    return f"channel{'s' * (len(numbers) > 1)} " + ", ".join(f"{number:04d}" for number in numbers)
