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
from torch.nn import functional

from nnunetv2_dale.dale.masked_loss import Outputs, all_resolutions, full_resolution
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
    features: Tensor | None = None  # (B, F, *S), what the head made the full-resolution logits of
    omega: Tensor | None = None  # ω₀ of Eq. 8, (B, 1, *S): what is given of the labels; None is 1
    same_draws: SameDraws = nullcontext  # in its contexts a forward drops out what the one of `outputs` did


@dataclass(frozen=True)
class NonFuzzyPass:
    """What is needed to evaluate the non-fuzzy loss at other weights."""

    images: Tensor  # (B, C, *S)
    loss: Callable[[Outputs], Tensor]  # logits to L_n of this rank


def look_ahead_gradient(
    shadow: ShadowNetwork,
    weights: Sequence[Tensor],
    fuzzy: FuzzyPass,
    non_fuzzy: NonFuzzyPass,
    omega: Tensor,
    step_size: float,
    loss_scale: Tensor | None = None,
    keep_graph: bool = True,
) -> tuple[list[Tensor], Tensor]:
    """Return v = ∂L_n/∂θ at θ_p = θ_n − η ∂L_f(ω)/∂θ (Eqs. 8 and 9), one tensor per weight; and ∂L_f/∂ω at θ_n.

    The second comes out of the backward of the pseudo-step, which would otherwise be an evaluation of the loss more.

    Args:
        weights: θ_n, in the order of `shadow.weights`, which are overwritten.
        loss_scale: losses are multiplied by it before a backward through the network and gradients divided after (AMP).
        keep_graph: of `fuzzy.outputs`; else its memory goes before the look-ahead needs any.
    """
    leaf = omega.detach().requires_grad_()
    loss = fuzzy.loss(fuzzy.outputs, leaf)
    *pseudo_gradient, by_omega = _gradient(loss, [*weights, leaf], loss_scale, keep_graph)
    shadow.place(weights, pseudo_gradient, -step_size)
    del pseudo_gradient
    loss = non_fuzzy.loss(shadow.forward(non_fuzzy.images))
    return _gradient(loss, shadow.weights, loss_scale), by_omega


def confidence_derivative(
    shadow: ShadowNetwork, weights: Sequence[Tensor], fuzzy: FuzzyPass, direction: Sequence[Tensor]
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return ω ↦ d/dt ∂L_f/∂ω (z(θ_n + t·v)) at t = 0, (B, 1, *S); what depends on v alone is computed here, once.

    The second argument is ∂L_f/∂ω at θ_n for this ω where it is known, which saves a loss.
    """
    distance = shift_length(weights, direction, relative_shift(fuzzy.outputs))
    with fuzzy.same_draws(), torch.no_grad():
        shadow.place(weights, direction, distance)
        shifted = shadow.forward(fuzzy.images)
    return lambda omega, by_omega: difference(fuzzy, shifted, distance, omega, by_omega)


def difference(
    fuzzy: FuzzyPass, shifted: Outputs, distance: Tensor, omega: Tensor, by_omega: Tensor | None = None
) -> Tensor:
    """Return (∂L_f/∂ω at the logits of θ_n + distance · v, minus that at θ_n) / distance.

    Args:
        shifted: the logits at θ_n + distance · v.
        by_omega: ∂L_f/∂ω at θ_n where it is known.
    """
    if by_omega is None:
        by_omega = loss_by_omega(fuzzy, fuzzy.outputs, omega)
    return (loss_by_omega(fuzzy, shifted, omega) - by_omega) / distance


def derivative_along(fuzzy: FuzzyPass, omega: Tensor, tangents: Sequence[Tensor]) -> Tensor:
    """Return ∂/∂ω ⟨∂L_f/∂z, ż⟩, differentiating the loss alone twice."""
    with torch.enable_grad():
        leaf = omega.detach().requires_grad_()
        logits = [each.detach().requires_grad_() for each in all_resolutions(fuzzy.outputs)]
        loss = fuzzy.loss(logits[0] if isinstance(fuzzy.outputs, Tensor) else logits, leaf)
        by_logits = torch.autograd.grad(loss, logits, create_graph=True, allow_unused=True, materialize_grads=True)
        change = torch.stack([(g * t.to(g.dtype)).sum() for g, t in zip(by_logits, tangents, strict=True)]).sum()
        (gradient,) = torch.autograd.grad(change, leaf)
    return gradient


def loss_by_omega(fuzzy: FuzzyPass, outputs: Outputs, omega: Tensor) -> Tensor:
    """Return ∂L_f/∂ω at fixed logits."""
    detached = outputs.detach() if isinstance(outputs, Tensor) else [logits.detach() for logits in outputs]
    with torch.enable_grad():
        leaf = omega.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(fuzzy.loss(detached, leaf), leaf)
    return gradient


def head_tangents(head: nn.Module, fuzzy: FuzzyPass, direction: Sequence[Tensor]) -> list[Tensor]:
    """Return ż when only the head's weights move along `direction`: the head is linear in them, so this is exact.

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
    return [full, *(torch.zeros_like(logits) for logits in all_resolutions(fuzzy.outputs)[1:])]


def shift_length(weights: Sequence[Tensor], direction: Sequence[Tensor], relative: float) -> Tensor:
    """Return the distance along `direction` that changes the weights by `relative` of their norm."""
    with torch.no_grad():
        weight_norm, direction_norm = norm_of(weights), norm_of(direction)
        return relative * weight_norm / direction_norm.clamp_min(torch.finfo(torch.float32).tiny)


def relative_shift(outputs: Outputs) -> float:
    """Say how long the one-sided step is for logits of this precision, of the weights' norm."""
    half = full_resolution(outputs).dtype in (torch.float16, torch.bfloat16)
    return SHIFT_HALF if half else SHIFT_FLOAT32


def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of all of them as one vector."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))
    return norm


def _gradient(
    loss: Tensor, wanted: Sequence[Tensor], loss_scale: Tensor | None, retain_graph: bool = False
) -> list[Tensor]:
    """∂loss/∂wanted; zeros for heads the loss does not use (deep supervision off, or weighted 0)."""
    scaled = loss if loss_scale is None else loss * loss_scale
    gradient = list(
        torch.autograd.grad(scaled, list(wanted), retain_graph=retain_graph, allow_unused=True, materialize_grads=True)
    )
    if loss_scale is not None:
        torch._foreach_div_(gradient, loss_scale)
    return gradient
