from __future__ import annotations

import pytest

from nnunetv2_dale.demo.readers_found import readers_found
from tests.demo.fixtures import PHANTOM, distrust

WIDE = [0, 1.0, 0.2, 0, 0]  # liver and spleen too wide


@pytest.mark.parametrize(
    ("found", "verdicts"),
    [
        ({}, ["missed", "missed", "missed", "missed"]),
        ({"phantom_002": WIDE, "phantom_004": WIDE}, ["right", "right", "missed", "missed"]),
        ({"phantom_002": WIDE}, ["right", "right", "missed", "missed"]),  # one of the two, and no other
        ({"phantom_002": WIDE, "phantom_000": [0, 0, 0.1, 0, 0]}, ["right", "wrong", "missed", "missed"]),
        ({"phantom_001": [0, 0, 0, -0.5, -0.1]}, ["missed", "missed", "wrong", "wrong"]),  # nobody draws narrower
        ({"phantom_002": [0, -1.0, 0, 0, 0]}, ["wrong", "missed", "missed", "missed"]),
    ],
)
def test_what_is_found_is_compared_with_what_the_phantom_knows(found: dict[str, list[float]], verdicts) -> None:
    judged = readers_found(distrust(**found), PHANTOM)
    assert [each.label for each in judged] == ["liver", "spleen", "kidney", "lesion"]
    assert [each.verdict for each in judged] == verdicts


def test_cases_are_named_by_why_they_are_down_weighted() -> None:
    liver, *_, lesion = readers_found(distrust(phantom_002=WIDE, phantom_001=[0, 0, 0, 0, -0.1]), PHANTOM)
    assert (liver.drawn_wide, liver.too_wide, liver.too_narrow) == (["phantom_002", "phantom_004"], ["phantom_002"], [])
    assert (lesion.too_wide, lesion.too_narrow) == ([], ["phantom_001"])
