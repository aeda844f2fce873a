"""How the non-fuzzy loss after a pseudo-step depends on the confidence ω of each voxel's label (Eqs. 8–10).

One pseudo-step on the fuzzy view, θ_p = θ_n − η ∂L_f(ω)/∂θ, changes the non-fuzzy loss by

    ∂L_n/∂ω = −η · d/dt ∂L_f/∂ω (z(θ_n + t·v))  at t = 0,    v = ∂L_n/∂θ at θ_p,   z = logits of the fuzzy view,

so the derivative of the *loss* with respect to ω is compared at the logits of θ_n and at logits a small step along v
away: plain forwards and one derivative of the loss, no double backward through the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.masked_loss import Outputs
from nnunetv2_dale.dale.random_draws import SameDraws
from nnunetv2_dale.dale.shadow_network import ShadowNetwork

# Length of the one-sided step along v, relative to the weights' norm: small enough for the difference to be a
# derivative, large enough to stand out of the rounding of the logits (float32; half precision under autocast).
# Chosen by benchmarks/confidence_fidelity.py; docs/evidence/measurements.md has the table.
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
    features: Tensor | None = None  # (B, C, *S), what the head made the full-resolution logits of
    same_draws: SameDraws = nullcontext  # in its contexts a forward drops out what the one of `outputs` did


@dataclass(frozen=True)
class NonFuzzyPass:
    """What is needed to evaluate the non-fuzzy loss at other weights."""

    images: Tensor  # (B, C, *S)
    loss: Callable[[Outputs], Tensor]  # logits to L_n of this rank


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
        with fuzzy.same_draws():
            tangents = logits_tangent(shadow, parameters, fuzzy.images, direction)
        return lambda weights, _: derivative_along(fuzzy, weights, tangents)
    distance = shift_length(parameters, direction, _relative_shift(fuzzy.outputs))
    with fuzzy.same_draws():
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


def head_tangents(head: nn.Module, fuzzy: FuzzyPass, direction: Sequence[Tensor]) -> list[Tensor]:
    """ż when only the head's weights move along `direction`: the head is linear in them, so this is exact.

    Args:
        direction: of the head's weight and, where it has one, bias.
    Raises:
        ValueError: the head is no convolution.
    """
    if not isinstance(head, (nn.Conv2d, nn.Conv3d)):
        raise ValueError(
            f'confidence_gradient "head" expects a convolution as segmentation head, got {type(head).__name__}; use '
            f'"reuse"'
        )
    assert fuzzy.features is not None
    convolution = functional.conv2d if isinstance(head, nn.Conv2d) else functional.conv3d
    weight, *bias = direction
    features = fuzzy.features.detach().to(weight.dtype)
    with torch.no_grad():
        full = convolution(
            features, weight, bias[0] if bias else None, head.stride, head.padding, head.dilation, head.groups
        )
    outputs = [fuzzy.outputs] if isinstance(fuzzy.outputs, Tensor) else fuzzy.outputs
    return [full, *(torch.zeros_like(logits) for logits in outputs[1:])]


def loss_by_confidence(fuzzy: FuzzyPass, outputs: Outputs, weights: Tensor) -> Tensor:
    """∂L_f/∂ω at fixed logits."""
    with torch.enable_grad():
        leaf = weights.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(fuzzy.loss(_detached(outputs), leaf), leaf)
    return gradient


def derivative_along(fuzzy: FuzzyPass, weights: Tensor, tangents: Sequence[Tensor]) -> Tensor:
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


class GradientAverage:
    """v as a moving average over iterations: one batch's gradient is noise to what the next ones would say.

    Not in the paper. The meta step does not depend on v's length, so the sum needs no correction for its start.

    Args:
        memory: in [0, 1), what a gradient leaves of the ones before; 0: each gradient alone.
    """

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self.forget()

    def forget(self) -> None:
        """Start anew with the next gradient."""
        self._sum: list[Tensor] | None = None

    @torch.no_grad()
    def __call__(self, gradient: Sequence[Tensor]) -> Sequence[Tensor]:
        """The average with this gradient; the gradient itself, and no trace of it, where it is not finite."""
        if self._memory == 0:
            return gradient
        if self._sum is None:
            self._sum = [torch.zeros_like(part) for part in gradient]
        finite = torch.isfinite(_norm(list(gradient)))
        torch._foreach_mul_(self._sum, self._memory)
        added = [torch.where(finite, part, 0.0) for part in gradient]
        torch._foreach_add_(self._sum, added, alpha=1 - self._memory)
        return [torch.where(finite, average, part) for average, part in zip(self._sum, gradient, strict=True)]
