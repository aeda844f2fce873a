"""The confidence ω of each voxel's label in the fuzzy view, learned by a meta step (Eqs. 8–11; lines 6–10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.fuzziness import View
from nnunetv2_dale.dale.hypergradient import (
    FuzzyPass,
    GradientAverage,
    NonFuzzyPass,
    confidence_derivative,
    derivative_along,
    head_tangents,
    look_ahead_gradient,
)
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, weighted_loss
from nnunetv2_dale.dale.random_draws import SameDraws, draws_from_here
from nnunetv2_dale.dale.shadow_network import ShadowNetwork
from nnunetv2_dale.dale.shifted_forward import ShiftedForward


@dataclass(frozen=True)
class LabelConfidence:
    """ω* of one batch."""

    weights: Tensor  # (B, 1, *S) float32, >= 0
    non_finite: Tensor  # bool scalar: a gradient was not finite, and the weights are all 1


class ConfidenceLearner:
    """What the meta step needs, made once for a training.

    Args:
        network, module, optimizer, loss, config, autocast, loss_scale, compiled: of `AlternatingStep`.
        head: the segmentation head inside `module`; needed where only its gradient is used.
    """

    def __init__(
        self,
        network: nn.Module,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: MaskedLoss,
        config: DaleConfig,
        autocast: Callable[[], AbstractContextManager[object]],
        loss_scale: Callable[[], Tensor | None],
        compiled: bool = False,
        head: nn.Module | None = None,
    ) -> None:
        self._network, self._optimizer, self._config = network, optimizer, config
        self._loss = replace(loss, distributed=False)  # ω and θ_p are local to a rank
        self._autocast, self._loss_scale, self._head = autocast, loss_scale, head
        self._parameters = [weight for weight in module.parameters() if weight.requires_grad]
        # the look-ahead has a gradient per meta step, the others one per iteration
        gradients = config.confidence_steps if config.confidence_gradient == "look_ahead" else 1
        self.average = GradientAverage(config.confidence_memory ** (1 / max(gradients, 1)))
        uses_copy = config.learns_confidence and config.confidence_gradient != "head"
        self._shadow = ShadowNetwork(module, compiled, autocast) if uses_copy else None
        self._same_draws: SameDraws = nullcontext
        self._shifted: ShiftedForward | None = None
        if self._shadow is not None and config.fuzzy_graph == "shifted":
            self._shifted = ShiftedForward(self._forward, self._parameters, self._shadow.parameters, optimizer)

    def forward(self, images: Tensor) -> Outputs:
        """Logits of the fuzzy view at θ_n; what is dropped out here is dropped out by all forwards it is compared with.

        Args:
            images: (B, C, *S).
        """
        self._same_draws = draws_from_here(images.device)
        return self._forward(images)

    def __call__(
        self,
        outputs: Outputs,
        targets: Outputs,
        fuzzy: View,
        non_fuzzy: View,
        trust: Tensor | None = None,
        features: Tensor | None = None,
    ) -> tuple[LabelConfidence, Outputs]:
        """ω* of the fuzzy view, from ω = 1; and the logits, with their graph, for the update on it.

        Args:
            outputs: logits of the last `forward`, with their graph.
            trust: what each label of the non-fuzzy view is worth, as in the update on it.
            features: the input of the head at that forward.
        """
        config = self._config
        if not config.learns_confidence:
            return full_confidence(outputs), outputs
        ended_with: list[Outputs] = []

        def shifted(direction: Sequence[Tensor], distance: Tensor) -> Outputs:
            assert self._shifted is not None
            ended_with.append(self._shifted(fuzzy.images, direction, distance))
            return ended_with[0]

        fuzzy_pass = FuzzyPass(
            fuzzy.images,
            outputs,
            lambda z, w: weighted_loss(self._loss, z, targets, fuzzy, w),
            None if self._shifted is None else shifted,
            features,
            self._same_draws,
        )
        if self._shadow is None:
            return self._of_the_head(fuzzy_pass), outputs
        reuse = config.confidence_gradient == "reuse"
        learned = learn_confidence(
            self._shadow,
            self._parameters,
            fuzzy_pass,
            NonFuzzyPass(non_fuzzy.images, lambda z: weighted_loss(self._loss, z, targets, non_fuzzy, trust)),
            self._step_size,
            config,
            line5_gradient=gradients_of(self._parameters) if reuse else None,
            loss_scale=self._loss_scale(),
            average=self.average,
        )
        if config.fuzzy_graph == "recompute":
            with self._same_draws():
                return learned, self._forward(fuzzy.images)
        return learned, ended_with[0] if ended_with else outputs

    def _of_the_head(self, fuzzy: FuzzyPass) -> LabelConfidence:
        """ω* from the gradient of the segmentation head alone, which needs no copy of the network."""
        assert self._head is not None
        tangents = head_tangents(self._head, fuzzy, self.average(gradients_of(self._head.parameters())))
        return stepped_confidence(
            fuzzy.outputs,
            lambda weights, _: derivative_along(fuzzy, weights, tangents),
            self._step_size,
            self._config,
        )

    def after_update(self) -> None:
        """Undo the shift of the weights where the optimizer made no step (AMP, a gradient that is not finite)."""
        if self._shifted is not None:
            self._shifted.undo()

    @property
    def _step_size(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def _forward(self, images: Tensor) -> Outputs:
        with self._autocast():
            outputs: Outputs = self._network(images)
            return outputs


def full_confidence(outputs: Outputs) -> LabelConfidence:
    """ω = 1 at every voxel of the full resolution."""
    first = outputs if isinstance(outputs, Tensor) else outputs[0]
    ones = torch.ones_like(first[:, :1], dtype=torch.promote_types(first.dtype, torch.float32))
    return LabelConfidence(ones.detach(), torch.zeros((), dtype=torch.bool, device=first.device))


def gradients_of(parameters: Iterable[Tensor]) -> list[Tensor]:
    """The gradients of the update just made, still in the parameters; zeros for heads it did not reach."""
    return [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in parameters]


def learn_confidence(
    shadow: ShadowNetwork,
    parameters: Sequence[Tensor],
    fuzzy: FuzzyPass,
    non_fuzzy: NonFuzzyPass,
    step_size: float,
    config: DaleConfig,
    line5_gradient: Sequence[Tensor] | None = None,
    loss_scale: Tensor | None = None,
    average: Callable[[Sequence[Tensor]], Sequence[Tensor]] = lambda gradient: gradient,
) -> LabelConfidence:
    """ω* after `config.confidence_steps` meta steps from ω = 1 (Eqs. 8–11).

    Every meta step starts its pseudo-step at θ_n, with the ω of the step before.

    Args:
        shadow: its weights are overwritten.
        parameters: θ_n, in the order of `shadow.parameters`.
        step_size: η of the pseudo-step.
        line5_gradient: v of the "reuse" mode, the non-fuzzy gradient of line 5; without it v is taken after the
            pseudo-step ("look_ahead"). The graph of `fuzzy.outputs` stays intact if `config.fuzzy_graph` is "keep";
            else the last pseudo-step frees it. The last one-sided difference is made by `fuzzy.shifted` where there
            is one.
        loss_scale: losses are multiplied by it before a backward through the network and gradients divided after (AMP).
        average: from v to its average over iterations.
    """
    if line5_gradient is not None:
        reused = confidence_derivative(shadow, parameters, fuzzy, average(line5_gradient), config)
        return stepped_confidence(fuzzy.outputs, lambda weights, _: reused(weights, None), step_size, config)

    def look_ahead(weights: Tensor, last: bool) -> Tensor:
        keep_graph = config.fuzzy_graph == "keep" or not last
        gradient, by_confidence = look_ahead_gradient(
            shadow, parameters, fuzzy, non_fuzzy, weights, step_size, loss_scale, keep_graph
        )
        shifted = fuzzy.shifted if last else None
        derivative = confidence_derivative(shadow, parameters, fuzzy, average(gradient), config, shifted)
        return derivative(weights, by_confidence)

    return stepped_confidence(fuzzy.outputs, look_ahead, step_size, config)


def stepped_confidence(
    outputs: Outputs, change: Callable[[Tensor, bool], Tensor], step_size: float, config: DaleConfig
) -> LabelConfidence:
    """ω after `config.confidence_steps` steps of Eq. 11 from 1; 1 everywhere where a gradient was not finite.

    Args:
        outputs: logits, full resolution first.
        change: (ω, whether this step is the last) to d/dt ∂L_f/∂ω along v, (B, 1, *S).
        step_size: η of the pseudo-step.
    """
    confidence = full_confidence(outputs)
    weights, non_finite = confidence.weights, confidence.non_finite
    for remaining in reversed(range(config.confidence_steps)):
        gradient = -step_size * change(weights, remaining == 0)
        non_finite = non_finite | ~torch.isfinite(gradient).all()
        weights = confidence_step(weights, gradient, config.confidence_lr)
    return LabelConfidence(torch.where(non_finite, 1.0, weights), non_finite)


def confidence_step(weights: Tensor, gradient: Tensor, confidence_lr: float) -> Tensor:
    """ω − confidence_lr · clamp(g / rms(g), −1, 1), clamped at 0 (Eqs. 10–11, made scale-free).

    Eq. 11's gradient per voxel is of the order η / voxels, far below any fixed step; divided by its RMS over the
    image it is of order 1. ω rises where the voxel's gradient agrees with the non-fuzzy one.

    Args:
        weights: ω, (B, 1, *S).
        gradient: ∂L_n/∂ω, same shape; an image of zeros leaves its ω as it is.
        confidence_lr: the most a voxel's ω moves.
    """
    axes = tuple(range(1, gradient.ndim))
    tiny = torch.finfo(gradient.dtype).tiny
    relative = gradient / gradient.abs().amax(dim=axes, keepdim=True).clamp_min(tiny)  # squares cannot underflow
    rms = relative.square().mean(dim=axes, keepdim=True).sqrt().clamp_min(tiny)
    return (weights - confidence_lr * (relative / rms).clamp(-1, 1)).clamp_min(0)
