"""Every setting of DK-UXNet: its meaning, its default, its range."""

from __future__ import annotations

import math
from dataclasses import Field, dataclass, field, fields
from typing import Any


def _number(default: float, low: float, high: float, meaning: str) -> Any:
    """A number in [low, high]; whole where the default is."""
    return field(default=default, metadata={"low": low, "high": high, "meaning": meaning})


def _numbers(default: tuple[float, ...], low: float, high: float, meaning: str) -> Any:
    """A list of numbers in [low, high]; whole where the default's are."""
    return field(default=default, metadata={"low": low, "high": high, "meaning": meaning})


@dataclass(frozen=True)
class DkUxnetConfig:
    """The settings; the defaults are those of the published code where it has them (docs/dk_uxnet.md says where).

    Raises:
        ValueError: a field of the wrong type or out of its range, or fields that do not go together.
    """

    # The network
    widths: tuple[int, ...] = _numbers((48, 96, 192, 384), 1, 4096, "channels of the encoder's stages")
    depths: tuple[int, ...] = _numbers((2, 2, 2, 2), 1, 100, "blocks of each stage")
    query_count: int = _number(128, 2, 4096, "queries of the k-means decoder")
    query_channels: int = _number(256, 1, 4096, "channels of a query")
    query_layers: int = _number(2, 1, 100, "k-means layers on each of the two coarsest decoder levels")
    attention_heads: int = _number(8, 1, 256, "heads of the self-attention between queries")
    feed_forward_channels: int = _number(2048, 1, 65536, "hidden channels of a k-means layer's feed-forward part")
    background_share: float = _number(0.125, 0.0, 1.0, "part of the queries that stand for background")

    # The losses
    group_weight: float = _number(0.1, 0.0, 1000.0, "weight of L_qd, the cross-entropy of the query groups")
    agreement_temperature: float = _number(0.5, 1e-3, 1000.0, "temperature of both contrastive agreements")
    agreement_ramp: tuple[float, ...] = _numbers(
        (0.1, 0.5, 1.0, 2.0), 0.0, 1000.0, "weights of the agreements, each for an equal part of the training"
    )

    # The data
    labelled_share: float = _number(0.5, 0.01, 0.99, "part of the training samples that come from labelled cases")
    strong_noise: float = _number(0.2, 0.0, 10.0, "largest standard deviation of the strong view's noise")
    strong_contrast: float = _number(0.5, 0.0, 1.0, "largest change of the strong view's contrast, either way")

    def __post_init__(self) -> None:
        for spec in fields(self):
            object.__setattr__(self, spec.name, _checked(spec, getattr(self, spec.name)))
        if len(self.widths) != len(self.depths) or len(self.widths) < 2:
            raise ValueError(
                f"widths and depths must be lists of the same length of at least 2, got {list(self.widths)} and "
                f"{list(self.depths)}"
            )
        if self.query_channels % self.attention_heads:
            raise ValueError(
                f"query_channels ({self.query_channels}) must be a multiple of attention_heads ({self.attention_heads})"
            )

    def agreement_weight(self, progress: float) -> float:
        """The weight of the agreements at a point of the training, from 0 (start) to 1 (end)."""
        step = min(int(progress * len(self.agreement_ramp)), len(self.agreement_ramp) - 1)
        return self.agreement_ramp[step]


def _range_of(spec: Field[Any]) -> str:
    many = "a list of numbers, each " if isinstance(spec.default, tuple) else ""
    return f"{many}{spec.metadata['low']:g} to {spec.metadata['high']:g}"


def _checked(spec: Field[Any], value: Any) -> Any:
    """The value in the type of the field's default."""
    default: Any = spec.default
    if not isinstance(default, tuple):
        return _checked_number(spec, type(default), value)
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"{spec.name} must be {_range_of(spec)}, got {value!r}")
    return tuple(_checked_number(spec, type(default[0]), each) for each in value)


def _checked_number(spec: Field[Any], kind: type, value: Any) -> Any:
    allowed = (int,) if kind is int else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{spec.name} must be {'a whole number' if kind is int else 'a number'}, got {value!r}")
    if not spec.metadata["low"] <= value <= spec.metadata["high"]:
        raise ValueError(f"{spec.name} must be {_range_of(spec)}, got {value!r}")
    return kind(value)
