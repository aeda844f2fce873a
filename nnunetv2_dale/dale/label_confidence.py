"""The confidence ω of each voxel's label in the fuzzy view, learned by a meta step (Eqs. 8–11; lines 6–10).

Three ways to the non-fuzzy gradient v, of one protocol; `confidence_learner` chooses one for a training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.confidence_step import LabelConfidence
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.feature_tap import FeatureTap
from nnunetv2_dale.dale.gradient_average import GradientAverage
from nnunetv2_dale.dale.hypergradient import (
    FuzzyPass,
    NonFuzzyPass,
    confidence_derivative,
    derivative_along,
    difference,
    head_tangents,
    look_ahead_gradient,
    relative_shift,
    shift_length,
)
from nnunetv2_dale.dale.masked_loss import Outputs
from nnunetv2_dale.dale.shadow_network import ShadowNetwork, ShiftedWeights

Learned = tuple[LabelConfidence, Outputs, Tensor | None]


class ConfidenceLearner(Protocol):
    """Learns ω* of a batch, from ω₀. A training has one, which may remember gradients."""

    average: GradientAverage

    def __call__(self, fuzzy: FuzzyPass, non_fuzzy: NonFuzzyPass) -> Learned:
        """ω*; and logits and features, with their graph, for the update on the fuzzy view."""

    def after_update(self) -> None:
        """Note that the update was made, or left out (AMP, a gradient that is not finite)."""
        return


@dataclass
class FullConfidence(ConfidenceLearner):
    """No meta steps: every label keeps ω₀."""

    average: GradientAverage

    def __call__(self, fuzzy: FuzzyPass, non_fuzzy: NonFuzzyPass) -> Learned:
        return LabelConfidence.first(fuzzy), fuzzy.outputs, fuzzy.features


@dataclass
class LookAhead(ConfidenceLearner):
    """v at θ_p, where a pseudo-step on the fuzzy view leads (Eqs. 8–9); each meta step starts its own at θ_n.

    Attributes:
        see: the network's forward.
        weights: θ_n, in the order of `shadow.weights`.
        step_size: η of the pseudo-step.
        loss_scale: of `AlternatingStep`.
        shifted: where the last one-sided difference is to be made by the network itself (`fuzzy_graph` "shifted").
    """

    config: DaleConfig
    see: FeatureTap
    shadow: ShadowNetwork
    weights: Sequence[Tensor]
    step_size: Callable[[], float]
    loss_scale: Callable[[], Tensor | None]
    average: GradientAverage
    shifted: ShiftedWeights | None = None

    def __call__(self, fuzzy: FuzzyPass, non_fuzzy: NonFuzzyPass) -> Learned:
        config, step_size = self.config, self.step_size()
        outputs, features = fuzzy.outputs, fuzzy.features
        first = confidence = LabelConfidence.first(fuzzy)
        for further_steps in reversed(range(config.confidence_steps)):
            omega, keep_graph = confidence.omega, further_steps > 0 or config.fuzzy_graph == "keep"
            gradient, by_omega = look_ahead_gradient(
                self.shadow, self.weights, fuzzy, non_fuzzy, omega, step_size, self.loss_scale(), keep_graph
            )
            v = self.average(gradient)
            if self.shifted is not None and not further_steps:
                distance = shift_length(self.weights, v, relative_shift(outputs))
                self.shifted.shift(v, distance)
                with fuzzy.same_draws():
                    outputs, features = self.see(fuzzy.images)
                change = difference(fuzzy, outputs, distance, omega, by_omega)
            else:
                change = confidence_derivative(self.shadow, self.weights, fuzzy, v)(omega, by_omega)
            confidence = confidence.stepped(-step_size * change, config.confidence_lr)
        if config.fuzzy_graph == "recompute":
            with fuzzy.same_draws():
                outputs, features = self.see(fuzzy.images)
        return confidence.finished(first), outputs, features

    def after_update(self) -> None:
        if self.shifted is not None:
            self.shifted.undo()


@dataclass
class Reuse(ConfidenceLearner):
    """v of line 5, still in the weights' gradients: no look-ahead."""

    config: DaleConfig
    shadow: ShadowNetwork
    weights: Sequence[Tensor]
    step_size: Callable[[], float]
    average: GradientAverage

    def __call__(self, fuzzy: FuzzyPass, non_fuzzy: NonFuzzyPass) -> Learned:
        v = self.average(gradients_of(self.weights))
        change = confidence_derivative(self.shadow, self.weights, fuzzy, v)
        return _stepped(fuzzy, lambda omega: change(omega, None), self.step_size(), self.config)


@dataclass
class Head(ConfidenceLearner):
    """v of line 5 restricted to the segmentation head's weights: no copy of the network, no further pass."""

    config: DaleConfig
    head: nn.Module
    step_size: Callable[[], float]
    average: GradientAverage

    def __call__(self, fuzzy: FuzzyPass, non_fuzzy: NonFuzzyPass) -> Learned:
        tangents = head_tangents(self.head, fuzzy, self.average(gradients_of(self.head.parameters())))
        return _stepped(fuzzy, lambda omega: derivative_along(fuzzy, omega, tangents), self.step_size(), self.config)


def confidence_learner(
    config: DaleConfig,
    see: FeatureTap,
    shadow: ShadowNetwork | None,
    weights: Sequence[Tensor],
    head: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    loss_scale: Callable[[], Tensor | None],
) -> ConfidenceLearner:
    """Return the way to ω* that the settings name.

    Args:
        see, weights, loss_scale: of `LookAhead`.
        shadow: where the settings use a copy (`uses_shadow`).
        head: the segmentation head; where its gradient alone is used.
        optimizer: η is its learning rate.
    """

    def step_size() -> float:
        return float(optimizer.param_groups[0]["lr"])

    look_ahead = config.confidence_gradient == "look_ahead"
    gradients = max(config.confidence_steps, 1) if look_ahead else 1  # per iteration
    average = GradientAverage(config.confidence_memory ** (1 / gradients))
    if not config.learns_confidence:
        return FullConfidence(average)
    if shadow is None:
        assert head is not None
        return Head(config, head, step_size, average)
    if not look_ahead:
        return Reuse(config, shadow, weights, step_size, average)
    shifted = ShiftedWeights(weights, shadow.weights, optimizer) if config.fuzzy_graph == "shifted" else None
    return LookAhead(config, see, shadow, weights, step_size, loss_scale, average, shifted)


def gradients_of(weights: Iterable[Tensor]) -> list[Tensor]:
    """Return the gradients of the update just made, still in the weights; zeros for heads it did not reach."""
    return [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]


def _stepped(fuzzy: FuzzyPass, change: Callable[[Tensor], Tensor], step_size: float, config: DaleConfig) -> Learned:
    """All meta steps along one v.

    Args:
        change: ω to d/dt ∂L_f/∂ω along v, (B, 1, *S).
    """
    first = confidence = LabelConfidence.first(fuzzy)
    for _ in range(config.confidence_steps):
        confidence = confidence.stepped(-step_size * change(confidence.omega), config.confidence_lr)
    return confidence.finished(first), fuzzy.outputs, fuzzy.features
