"""Settings of a method: a frozen dataclass whose fields know their meaning and range, checked when it is made.

Every method's configuration is one of these; documentation and the messages about plans are written from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar, cast, get_args, get_type_hints

Settings = TypeVar("Settings", bound="ValidatedSettings")


def number(default: float, low: float, high: float, meaning: str) -> Any:
    """Make a field: a number in [low, high]; whole where the field's type is int."""
    return field(default=default, metadata={"low": low, "high": high, "meaning": meaning})


def choice(default: str, choices: object, meaning: str) -> Any:
    """Make a field: one of a Literal's values."""
    return field(default=default, metadata={"choices": get_args(choices), "meaning": meaning})


@dataclass(frozen=True)
class ValidatedSettings:
    """Base of the configurations; fields are made by `number` and `choice`.

    Raises:
        ValueError: a field of the wrong type or out of its range.
    """

    plans_key: ClassVar[str]  # the object of a plans' configuration that changes these settings

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for spec in fields(self):
            object.__setattr__(self, spec.name, _checked(spec, hints[spec.name], getattr(self, spec.name)))

    def updated(self: Settings, settings: Mapping[str, Any]) -> Settings:
        """Return these settings with some fields replaced, as the object of a plans file does.

        Raises:
            ValueError: an unknown field (the message lists the valid ones with their ranges), or a bad value.
        """
        key = self.plans_key
        if not isinstance(settings, Mapping):
            raise ValueError(
                f'expected "{key}" to be an object of settings, got {settings!r}. Valid are: {describe(type(self))}'
            )
        unknown = sorted(set(settings) - {spec.name for spec in fields(self)})
        if unknown:
            raise ValueError(
                f'unknown setting {", ".join(map(repr, unknown))} in "{key}". Valid are: {describe(type(self))}'
            )
        return replace(self, **settings)


def describe(kind: type[ValidatedSettings]) -> str:
    """List all fields with their ranges, in one line."""
    return ", ".join(f"{spec.name} ({range_of(spec)})" for spec in fields(kind))


def range_of(spec: Field[Any]) -> str:
    """Return what a field may be: "0 to 1" or "one | other"."""
    if "choices" in spec.metadata:
        return " | ".join(spec.metadata["choices"])
    return f"{spec.metadata['low']:g} to {spec.metadata['high']:g}"


def _checked(spec: Field[Any], kind: type, value: object) -> object:
    if "choices" in spec.metadata:
        if value not in spec.metadata["choices"]:
            raise ValueError(f"{spec.name} must be one of {range_of(spec)}, got {value!r}")
        return value
    allowed = (int,) if kind is int else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{spec.name} must be {'a whole' if kind is int else 'a'} number, got {value!r}")
    if not spec.metadata["low"] <= value <= spec.metadata["high"]:
        raise ValueError(f"{spec.name} must be in {range_of(spec)}, got {value!r}")
    return cast(object, kind(value))
