"""Every hyperparameter of DALE: its meaning, the paper's value, its range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Literal, cast, get_args, get_type_hints

from nnunetv2_dale.dale.fuzziness import FuzzinessSource, ViewKind

Updates = Literal["both_views", "one_view", "whole_batch"]
ConfidenceSource = Literal[
    "hypergradient", "likelihood", "hypergradient_and_likelihood", "displacement", "gated", "grouped"
]
ConfidenceScope = Literal["fuzzy", "everywhere"]
ConfidenceGradient = Literal["look_ahead", "reuse"]
DirectionalDerivative = Literal["one_sided", "forward_mode"]
FuzzyGraph = Literal["keep", "recompute", "shifted"]


def _number(default: float, low: float, high: float, meaning: str) -> Any:
    """A number in [low, high]."""
    return field(default=default, metadata={"low": low, "high": high, "meaning": meaning})


def _choice(default: str, choices: object, meaning: str) -> Any:
    """One of a Literal's values."""
    return field(default=default, metadata={"choices": get_args(choices), "meaning": meaning})


@dataclass(frozen=True)
class DaleConfig:
    """The settings of DALE; the defaults are the paper's where it states them. `RECOMMENDED` are the trainer's.

    Raises:
        ValueError: a field of the wrong type or out of its range.
    """

    # Fuzziness (Eqs. 3-7)
    patch_size: int = _number(16, 1, 4096, "voxels along each in-plane axis of a fuzziness patch")
    entropy_bins: int = _number(32, 2, 65536, "equal intensity bins between an image's minimum and maximum (Eq. 3)")
    fuzzy_threshold: float = _number(0.9, 0.0, 1.0, "tau of Eq. 6: a patch is fuzzy where m reaches it")
    fuzziness_source: FuzzinessSource = _choice(
        "both", FuzzinessSource, "what m is made of: the larger of entropy and edge ratio, or one of them"
    )
    view: ViewKind = _choice("masked_input", ViewKind, "what the masks multiply (Eq. 7): image and label, or the loss")

    # The updates (Algorithm 1)
    updates: Updates = _choice(
        "both_views",
        Updates,
        "per batch: the non-fuzzy, then the fuzzy view (as printed); one of them in turns; or the whole batch at once",
    )

    # Label confidence: where omega comes from
    confidence_source: ConfidenceSource = _choice(
        "hypergradient",
        ConfidenceSource,
        "Eqs. 8-11; the label's probability under the network; both; that probability in cases of displaced contour "
        "only; as far as the contours of all cases differ; or in the smaller of two clear groups of cases only",
    )
    confidence_start: float = _number(0.0, 0.0, 1.0, "part of the training before omega leaves 1; 0 as printed")
    confidence_after: int = _number(0, 0, 1_000_000, "batches before omega leaves 1, in a short training too")
    confidence_scope: ConfidenceScope = _choice(
        "everywhere", ConfidenceScope, "voxels that omega weighs: all of its view (as printed), or those with m >= tau"
    )
    likelihood_threshold: float = _number(0.5, 1e-6, 1.0, "probability of the label from which omega is 1")
    likelihood_exponent: float = _number(1.0, 0.01, 100.0, "how fast omega falls below that probability")
    likelihood_learned: float = _number(
        0.0, 0.0, 1.0, "mean probability that a sample's labels of a class must have before omega judges them; 0: none"
    )
    displacement_tolerance: float = _number(
        0.4, 0.0, 1000.0, "voxels of contour by which cases may differ before trust falls; at twice that it has fallen"
    )
    displacement_groups: float = _number(
        0.75, 0.0, 1.0, "part of the cases' variance that two groups must explain before the smaller is distrusted"
    )
    displacement_fewest: int = _number(5, 1, 1_000_000, "cases that the smaller group must have")
    displacement_memory: float = _number(0.9, 0.0, 0.9999, "what a visit of a case leaves of the visits before")

    # Label confidence (Eqs. 8-11)
    confidence_steps: int = _number(1, 0, 100, "K of Algorithm 1: meta steps on omega per batch; 0 keeps omega at 1")
    confidence_lr: float = _number(0.1, 0.0, 10.0, "the most a meta step moves omega in a voxel")
    confidence_gradient: ConfidenceGradient = _choice(
        "look_ahead",
        ConfidenceGradient,
        "where the non-fuzzy gradient comes from: after the pseudo-step (Eqs. 8-10), or reused from line 5",
    )
    directional_derivative: DirectionalDerivative = _choice(
        "one_sided",
        DirectionalDerivative,
        "how the logits' change along that gradient is found: a forward at shifted weights, or forward-mode AD",
    )
    fuzzy_graph: FuzzyGraph = _choice(
        "keep",
        FuzzyGraph,
        "the fuzzy view's activations that the update needs: kept during the look-ahead (fast), computed anew (lean), "
        "or those of the forward at shifted weights (both; the update's gradient is taken 1e-4 beside the weights)",
    )

    # Alignment (Eqs. 12-15)
    alignment_weight: float = _number(0.05, 0.0, 1000.0, "alpha of Eq. 15; 0 switches the alignment off")
    alignment_warmup: int = _number(0, 0, 1_000_000, "epochs before the alignment starts; 0 as printed")
    alignment_min_voxels: int = _number(16, 2, 1_000_000, "a class with fewer voxels on either side is left out")
    alignment_max_voxels: int = _number(1024, 2, 1_000_000, "voxels drawn per class and side")
    covariance_noise: float = _number(0.01, 0.0, 10.0, "largest epsilon of Eq. 13, relative to the mean variance")

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for spec in fields(self):
            object.__setattr__(self, spec.name, _checked(spec, hints[spec.name], getattr(self, spec.name)))
        if self.fuzzy_graph != "keep" and self.confidence_gradient == "reuse":
            raise ValueError(
                f'fuzzy_graph "{self.fuzzy_graph}" is for confidence_gradient "look_ahead"; "reuse" has one anyway'
            )
        if self.fuzzy_graph == "shifted" and self.directional_derivative != "one_sided":
            raise ValueError(
                f'fuzzy_graph "shifted" is the forward of directional_derivative "one_sided"; '
                f'"{self.directional_derivative}" makes none'
            )
        if self.updates != "both_views" and self.learns_confidence:
            raise ValueError(
                f'updates "{self.updates}" has no meta step: choose confidence_source "likelihood" or "displacement", '
                "or confidence_steps 0"
            )
        if self.alignment_min_voxels > self.alignment_max_voxels:
            raise ValueError(
                f"alignment_min_voxels ({self.alignment_min_voxels}) must not exceed alignment_max_voxels "
                f"({self.alignment_max_voxels})"
            )

    @property
    def learns_confidence(self) -> bool:
        """ω takes meta steps (Eqs. 8–11)."""
        return self.confidence_steps > 0 and self.confidence_source in (
            "hypergradient",
            "hypergradient_and_likelihood",
        )

    @property
    def remembers_cases(self) -> bool:
        """ω depends on what earlier batches have shown of the same cases."""
        return self.confidence_source in ("displacement", "gated", "grouped")

    @property
    def confidence_reach(self) -> float:
        """The most by which ω can leave 1, either way as far as the log's histogram goes."""
        learned = self.confidence_steps * self.confidence_lr if self.learns_confidence else 0.0
        return max(learned, 1e-3) if self.confidence_source == "hypergradient" else max(learned, 1.0)

    def updated(self, settings: Mapping[str, Any]) -> DaleConfig:
        """This configuration with some fields replaced, as the `"dale"` object of a plans file does.

        Raises:
            ValueError: an unknown field (the message lists the valid ones with their ranges), or a bad value.
        """
        if not isinstance(settings, Mapping):
            raise ValueError(f'expected "dale" to be an object of settings, got {settings!r}. Valid are: {describe()}')
        unknown = sorted(set(settings) - {spec.name for spec in fields(self)})
        if unknown:
            raise ValueError(f"unknown DALE setting {', '.join(map(repr, unknown))}. Valid are: {describe()}")
        return replace(self, **settings)


def describe() -> str:
    """All fields with their ranges, in one line."""
    return ", ".join(f"{spec.name} ({_range_of(spec)})" for spec in fields(DaleConfig))


def _range_of(spec: Field[Any]) -> str:
    if "choices" in spec.metadata:
        return " | ".join(spec.metadata["choices"])
    return f"{spec.metadata['low']:g} to {spec.metadata['high']:g}"


def _checked(spec: Field[Any], kind: type, value: object) -> object:
    if "choices" in spec.metadata:
        if value not in spec.metadata["choices"]:
            raise ValueError(f"{spec.name} must be one of {_range_of(spec)}, got {value!r}")
        return value
    allowed = (int,) if kind is int else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{spec.name} must be {'a whole' if kind is int else 'a'} number, got {value!r}")
    if not spec.metadata["low"] <= value <= spec.metadata["high"]:
        raise ValueError(f"{spec.name} must be in {_range_of(spec)}, got {value!r}")
    return cast(object, kind(value))


# What nnUNetTrainerDALE uses: the settings that came out best in the accuracy study (docs/evidence.md).
RECOMMENDED = DaleConfig(
    updates="whole_batch",
    confidence_source="grouped",
    confidence_start=0.3,
    confidence_after=1000,
    alignment_weight=0.0,
)
