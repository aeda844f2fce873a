"""Settings that know their range: what is made of values, and what is said of bad ones."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any, ClassVar, Literal

import pytest

from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.validated_settings import ValidatedSettings, choice, describe, number, range_of

Colour = Literal["red", "green"]


@dataclass(frozen=True)
class Paint(ValidatedSettings):
    plans_key: ClassVar[str] = "paint"
    layers: int = number(2, 1, 5, "how often")
    weight: float = number(0.5, 0.0, 1.0, "how heavy")
    colour: Colour = choice("red", Colour, "which")  # noqa: RUF009 -- a field, as number() makes one


def test_they_are_described_in_one_line() -> None:
    assert describe(Paint) == "layers (1 to 5), weight (0 to 1), colour (red | green)"
    assert [range_of(spec) for spec in fields(Paint)] == ["1 to 5", "0 to 1", "red | green"]


def test_whole_numbers_become_fractions_where_these_are_meant() -> None:
    changed = Paint().updated({"weight": 1, "colour": "green"})
    assert changed == Paint(weight=1.0, colour="green")
    assert isinstance(changed.weight, float)
    assert Paint().updated({}) == Paint()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"layers": 0}, "layers must be in 1 to 5, got 0"),
        ({"layers": 6}, "layers must be in 1 to 5, got 6"),
        ({"layers": 2.0}, "layers must be a whole number, got 2.0"),
        ({"layers": True}, "layers must be a whole number, got True"),
        ({"layers": None}, "layers must be a whole number, got None"),
        ({"weight": "1"}, "weight must be a number, got '1'"),
        ({"weight": float("nan")}, "weight must be a number, got nan"),
        ({"weight": float("inf")}, "weight must be a number, got inf"),
        ({"weight": False}, "weight must be a number, got False"),
        ({"colour": "blue"}, r"colour must be one of red \| green, got 'blue'"),
        ({"colour": ["red"]}, r"colour must be one of red \| green, got \['red'\]"),
        (
            {"color": "red", "wait": 3},
            r"unknown setting 'color', 'wait' in \"paint\". Valid are: layers \(1 to 5\), weight \(0 to 1\), colour",
        ),
        ([1], r"expected \"paint\" to be an object of settings, got \[1\]. Valid are: layers"),
        (None, r"expected \"paint\" to be an object of settings, got None"),
    ],
)
def test_bad_values_are_told_with_what_is_valid(given: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Paint().updated(given)


def test_the_constructor_checks_as_well_and_nothing_changes_afterwards() -> None:
    with pytest.raises(ValueError, match="layers must be in 1 to 5, got 9"):
        Paint(layers=9)
    with pytest.raises(FrozenInstanceError):
        DaleConfig().patch_size = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", [DaleConfig, CaseTrustConfig])
def test_every_setting_of_a_method_has_a_meaning_and_a_default_in_its_range(kind: type[ValidatedSettings]) -> None:
    for spec in fields(kind):
        assert spec.metadata["meaning"]
        assert f"{spec.name} ({range_of(spec)})" in describe(kind)
    kind()  # is checked when it is made
