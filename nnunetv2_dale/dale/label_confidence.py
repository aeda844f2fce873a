"""The confidence ω of each voxel's label in the fuzzy view, learned by a meta step (Eqs. 8–11; lines 6–10).

One pseudo-step on the fuzzy view, θ_p = θ_n − η ∂L_f(ω)/∂θ, changes the non-fuzzy loss by

    ∂L_n/∂ω = −η · d/dt ∂L_f/∂ω (z(θ_n + t·v))  at t = 0,    v = ∂L_n/∂θ at θ_p,   z = logits of the fuzzy view,

so the derivative of the *loss* with respect to ω is compared at the logits of θ_n and at logits a small step along v
away: plain forwards and one derivative of the loss, no double backward through the network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.masked_loss import Outputs

# Length of the one-sided step along v, relative to the weights' norm: small enough for the difference to be a
# derivative, large enough to stand out of the rounding of the logits (float32; half precision under autocast).
# Chosen by benchmarks/confidence_fidelity.py; docs/performance.md has the table.
SHIFT_FLOAT32 = 1e-4
SHIFT_HALF = 1e-3


@dataclass(frozen=True)
class FuzzyPass:
    """The forward of the fuzzy view at θ_n, made once and used by the meta step and by the update."""

    images: Tensor  # (B, C, *S)
    outputs: Outputs  # logits, with their graph
    loss: Callable[[Outputs, Tensor], Tensor]  # (logits, ω) to L_f of this rank
    # (v, t) to the logits at θ_n + t·v, made by the network itself for the update; None is left to the shadow network
    shifted: Callable[[Sequence[Tensor], Tensor], Outputs] | None = None


@dataclass(frozen=True)
class NonFuzzyPass:
    """What is needed to evaluate the non-fuzzy loss at other weights."""

    images: Tensor  # (B, C, *S)
    loss: Callable[[Outputs], Tensor]  # logits to L_n of this rank


@dataclass(frozen=True)
class LabelConfidence:
    """ω* of one batch."""

    weights: Tensor  # (B, 1, *S) float32, >= 0
    non_finite: Tensor  # bool scalar: a gradient was not finite, and the weights are all 1

    @property
    def clean(self) -> Tensor:
        """(B, 1, *S) bool: voxels whose confidence did not fall, ∂L_n/∂ω <= 0 (the condition of Eq. 12)."""
        return self.weights >= 1


class ShadowNetwork:
    """A' of line 6: a deep copy made once, whose weights are set in place.

    Args:
        network: the plain module, neither compiled nor wrapped.
        compiled: run the copy's forward through torch.compile.
        autocast: makes the context of a forward.
    """

    def __init__(
        self,
        network: nn.Module,
        compiled: bool = False,
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.module = copy.deepcopy(network)
        self.names = [name for name, weight in self.module.named_parameters() if weight.requires_grad]
        self.parameters: list[Tensor] = [weight for weight in self.module.parameters() if weight.requires_grad]
        self._run: Callable[[Tensor], Outputs] = torch.compile(self.module) if compiled else self.module
        self._autocast = autocast
        self._buffers = list(zip(self.module.buffers(), network.buffers(), strict=True))

    def forward(self, images: Tensor) -> Outputs:
        """Logits of (B, C, *S) images at the weights of the last `place`."""
        with self._autocast():
            return self._run(images)

    @torch.no_grad()
    def place(self, origin: Sequence[Tensor], direction: Sequence[Tensor], distance: float | Tensor) -> None:
        """Set the weights to `origin + distance · direction`."""
        torch._foreach_copy_(self.parameters, list(direction))
        torch._foreach_mul_(self.parameters, distance)
        torch._foreach_add_(self.parameters, list(origin))
        for buffer, source in self._buffers:
            buffer.copy_(source)


def learn_confidence(
    shadow: ShadowNetwork,
    parameters: Sequence[Tensor],
    fuzzy: FuzzyPass,
    non_fuzzy: NonFuzzyPass,
    step_size: float,
    config: DaleConfig,
    line5_gradient: Sequence[Tensor] | None = None,
    loss_scale: Tensor | None = None,
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
    """
    first = fuzzy.outputs if isinstance(fuzzy.outputs, Tensor) else fuzzy.outputs[0]
    precision = torch.promote_types(first.dtype, torch.float32)
    weights = torch.ones(first.shape[0], 1, *first.shape[2:], device=first.device, dtype=precision)
    finite = torch.ones((), dtype=torch.bool, device=first.device)
    derivative = (
        None if line5_gradient is None else confidence_derivative(shadow, parameters, fuzzy, line5_gradient, config)
    )
    for meta_step in range(1, config.confidence_steps + 1):
        by_confidence = None
        if line5_gradient is None:
            keep_graph = config.fuzzy_graph == "keep" or meta_step < config.confidence_steps
            meta_gradient, by_confidence = look_ahead_gradient(
                shadow, parameters, fuzzy, non_fuzzy, weights, step_size, loss_scale, keep_graph
            )
            last = meta_step == config.confidence_steps
            shifted_forward = fuzzy.shifted if last else None
            derivative = confidence_derivative(shadow, parameters, fuzzy, meta_gradient, config, shifted_forward)
        assert derivative is not None
        gradient = -step_size * derivative(weights, by_confidence)
        finite = finite & torch.isfinite(gradient).all()
        weights = confidence_step(weights, gradient, config.confidence_lr)
    return LabelConfidence(weights=torch.where(finite, weights, 1.0), non_finite=~finite)


def look_ahead_gradient(
    shadow: ShadowNetwork,
    parameters: Sequence[Tensor],
    fuzzy: FuzzyPass,
    non_fuzzy: NonFuzzyPass,
    weights: Tensor,
    step_size: float,
    loss_scale: Tensor | None = None,
    keep_graph: bool = True,
) -> tuple[list[Tensor], Tensor]:
    """v = ∂L_n/∂θ at θ_p = θ_n − η ∂L_f(ω)/∂θ (Eqs. 8 and 9), one tensor per parameter; and ∂L_f/∂ω at θ_n.

    The second comes out of the backward of the pseudo-step, which would otherwise be an evaluation of the loss more.
    """
    leaf = weights.detach().requires_grad_()
    loss = fuzzy.loss(fuzzy.outputs, leaf)
    *pseudo_gradient, by_confidence = _gradient(loss, [*parameters, leaf], loss_scale, keep_graph)
    shadow.place(parameters, pseudo_gradient, -step_size)
    del pseudo_gradient
    loss = non_fuzzy.loss(shadow.forward(non_fuzzy.images))
    return _gradient(loss, shadow.parameters, loss_scale), by_confidence


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


def confidence_derivative(
    shadow: ShadowNetwork,
    parameters: Sequence[Tensor],
    fuzzy: FuzzyPass,
    direction: Sequence[Tensor],
    config: DaleConfig,
    shifted_forward: Callable[[Sequence[Tensor], Tensor], Outputs] | None = None,
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """ω ↦ d/dt ∂L_f/∂ω (z(θ_n + t·v)) at t = 0, (B, 1, *S); what depends on v alone is computed here, once.

    The second argument is ∂L_f/∂ω at θ_n for this ω where it is known, which saves the one-sided difference a loss.

    Args:
        shifted_forward: (v, t) to the logits at θ_n + t·v for the one-sided difference; None asks the shadow network.
    """
    if config.directional_derivative == "forward_mode":
        tangents = logits_tangent(shadow, parameters, fuzzy.images, direction)
        return lambda weights, _: _derivative_along(fuzzy, weights, tangents)
    distance = shift_length(parameters, direction, _relative_shift(fuzzy.outputs))
    if shifted_forward is not None:
        shifted = shifted_forward(direction, distance)
    else:
        shadow.place(parameters, direction, distance)
        with torch.no_grad():
            shifted = shadow.forward(fuzzy.images)

    def difference(weights: Tensor, by_confidence: Tensor | None) -> Tensor:
        if by_confidence is None:
            by_confidence = loss_by_confidence(fuzzy, fuzzy.outputs, weights)
        return (loss_by_confidence(fuzzy, shifted, weights) - by_confidence) / distance

    return difference


def logits_tangent(
    shadow: ShadowNetwork, parameters: Sequence[Tensor], images: Tensor, direction: Sequence[Tensor]
) -> Sequence[Tensor]:
    """ż, the directional derivative of every output along `direction` at θ_n: one forward-mode pass in full precision.

    Raises:
        RuntimeError: a layer without forward-mode derivative.
    """
    with forward_ad.dual_level(), torch.autocast(images.device.type, enabled=False):
        duals = {
            name: forward_ad.make_dual(weight.detach(), tangent.detach())  # type: ignore[no-untyped-call]
            for name, weight, tangent in zip(shadow.names, parameters, direction, strict=True)
        }
        # tie_weights=False: nnU-Net registers sub-modules twice, and tied look-up would replace live parameters
        outputs = torch.func.functional_call(shadow.module, duals, (images,), tie_weights=False)
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        tangents = [forward_ad.unpack_dual(logits).tangent for logits in outputs]  # type: ignore[no-untyped-call]
    if any(tangent is None for tangent in tangents):
        raise RuntimeError(
            f"{type(shadow.module).__name__} gave no forward-mode derivative; use the one-sided difference"
        )
    return tangents


def loss_by_confidence(fuzzy: FuzzyPass, outputs: Outputs, weights: Tensor) -> Tensor:
    """∂L_f/∂ω at fixed logits."""
    with torch.enable_grad():
        leaf = weights.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(fuzzy.loss(_detached(outputs), leaf), leaf)
    return gradient


def _derivative_along(fuzzy: FuzzyPass, weights: Tensor, tangents: Sequence[Tensor]) -> Tensor:
    """∂/∂ω ⟨∂L_f/∂z, ż⟩, differentiating the loss alone twice."""
    with torch.enable_grad():
        leaf = weights.detach().requires_grad_()
        outputs = _detached(fuzzy.outputs)
        logits = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        logits = [each.requires_grad_() for each in logits]
        loss = fuzzy.loss(logits[0] if isinstance(outputs, Tensor) else logits, leaf)
        by_logits = torch.autograd.grad(loss, logits, create_graph=True, allow_unused=True, materialize_grads=True)
        change = torch.stack([(g * t.to(g.dtype)).sum() for g, t in zip(by_logits, tangents, strict=True)]).sum()
        (gradient,) = torch.autograd.grad(change, leaf)
    return gradient


def _gradient(
    loss: Tensor, parameters: Sequence[Tensor], loss_scale: Tensor | None, retain_graph: bool = False
) -> list[Tensor]:
    """∂loss/∂parameters; zeros for heads the loss does not use (deep supervision off, or weighted 0)."""
    scaled = loss if loss_scale is None else loss * loss_scale
    gradient = list(
        torch.autograd.grad(
            scaled, list(parameters), retain_graph=retain_graph, allow_unused=True, materialize_grads=True
        )
    )
    if loss_scale is not None:
        torch._foreach_div_(gradient, loss_scale)
    return gradient


@torch.no_grad()
def shift_length(parameters: Sequence[Tensor], direction: Sequence[Tensor], relative: float) -> Tensor:
    """The distance along `direction` that changes the weights by `relative` of their norm."""
    weight_norm, direction_norm = (_norm(list(tensors)) for tensors in (parameters, direction))
    return relative * weight_norm / direction_norm.clamp_min(torch.finfo(torch.float32).tiny)


def _relative_shift(outputs: Outputs) -> float:
    precision = outputs.dtype if isinstance(outputs, Tensor) else outputs[0].dtype
    return SHIFT_HALF if precision in (torch.float16, torch.bfloat16) else SHIFT_FLOAT32


def _norm(tensors: list[Tensor]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
    return norm


def _detached(outputs: Outputs) -> Outputs:
    if isinstance(outputs, Tensor):
        return outputs.detach()
    return [logits.detach() for logits in outputs]
