"""Meta-Weight-Net (Shu et al., NeurIPS 2019) per voxel: a small network learns how far to trust a loss.

    w_i = V(ℓ_i; φ)                                             (Eq. 2, ℓ detached)
    θ̂(φ) = θ − η ∂/∂θ L(θ; w)                                   (Eq. 3, the virtual step)
    φ ← φ − ε ∂/∂φ L_meta(θ̂(φ))                                 (Eq. 4, the meta step)
    θ ← θ − η ∂/∂θ L(θ; V(ℓ; φ))                                (Eq. 5, the real step)

∂L_meta/∂φ = Σ_i ∂L_meta/∂w_i · ∂V(ℓ_i)/∂φ. The first factor needs no double backward; it comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution
from nnunetv2_dale.rivals.voxel_losses import voxel_cross_entropy

_VOXELS_AT_ONCE = 2**18  # the hidden layer is 100 numbers per voxel


class WeightNet(nn.Module):
    """V: loss to weight in (0, 1), voxel by voxel."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())

    def forward(self, losses: Tensor) -> Tensor:
        """Weights of losses, of any equal shape."""
        weights: Tensor = self.layers(losses.reshape(-1, 1))
        return weights.view_as(losses)

    @torch.no_grad()
    def weigh(self, losses: Tensor) -> Tensor:
        """Return the same without gradient, in parts that fit any memory."""
        return torch.cat([self(part) for (part,) in _parts(losses)]).view_as(losses)

    def add_gradient(self, losses: Tensor, by_weights: Tensor) -> None:
        """Add Σ_i by_weights_i · ∂V(ℓ_i)/∂φ to the gradients of φ."""
        for part, factor in _parts(losses, by_weights):
            self(part).backward(factor)


def _parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    yield from zip(*(torch.split(tensor.reshape(-1), _VOXELS_AT_ONCE) for tensor in tensors), strict=True)


@dataclass(frozen=True)
class MetaBatch:
    """What a virtual step is judged on."""

    images: Tensor  # (B, C, *S)
    loss: Callable[[Outputs], Tensor]  # of the network's outputs for them


@dataclass(frozen=True)
class VirtualStep:
    """θ̂ = θ − η ∂L(w)/∂θ: what is needed to say how the weights change its meta loss."""

    images: Tensor  # (B, C, *S)
    outputs: Outputs  # with their graph, which has to stay
    loss: Callable[[Outputs, Tensor], Tensor]  # (outputs, w) to L
    weights: Tensor  # w, (B, 1, *S)
    meta: MetaBatch


@dataclass(frozen=True)
class MetaRecord:
    """What happened in one iteration; scalars on the device."""

    loss: Tensor  # L with the new weights
    weight_mean: Tensor
    weight_std: Tensor
    weight_of_low_loss: Tensor  # mean w of the voxels below the mean loss
    weight_of_high_loss: Tensor  # and above it
    non_finite: Tensor  # 1 where a meta gradient was not finite, and φ was not taught


@dataclass
class MetaWeightStep:
    """Adds the gradients of one batch to the network's weights; the caller clears them before and steps after.

    Args:
        network: images to logits, or a sequence of them under deep supervision.
        weight_net: V.
        loss: L, which voxels are weighted in.
        by_weights: ∂L_meta(θ̂)/∂w, (B, 1, *S).
        meta_step: steps φ from its gradients, and clears them.
        backward: adds a loss's gradient.
        autocast: makes the context of a forward pass.
    """

    network: Callable[[Tensor], Outputs]
    weight_net: WeightNet
    loss: MaskedLoss
    by_weights: Callable[[VirtualStep], Tensor]
    meta_step: Callable[[], None]
    backward: Callable[[Tensor], None] = torch.Tensor.backward
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext

    def __call__(self, images: Tensor, targets: Outputs, meta: MetaBatch) -> MetaRecord:
        """Eqs. 2 to 5.

        Args:
            images: (B, C, *S), finite.
            targets: the target of each output, full resolution first.
        """
        local = replace(self.loss, distributed=False)
        with self.autocast():
            outputs = self.network(images)
        losses = voxel_cross_entropy(full_resolution(outputs).detach(), targets, self.loss)

        virtual = VirtualStep(
            images, outputs, lambda z, w: local(z, targets, None, w), self.weight_net.weigh(losses), meta
        )
        gradient = self.by_weights(virtual)
        finite = torch.isfinite(gradient).all()
        # the losses too: where they are not finite, a gradient of 0 times them is not either
        self.weight_net.add_gradient(torch.where(finite, losses, 0.0), torch.where(finite, gradient, 0.0))
        self.meta_step()

        weights = self.weight_net.weigh(losses)
        loss = self.loss(outputs, targets, None, weights)
        self.backward(loss)
        return _record(loss.detach(), weights, losses, finite)


def _record(loss: Tensor, weights: Tensor, losses: Tensor, finite: Tensor) -> MetaRecord:
    high = losses > losses.mean()
    sums = torch.stack([(weights * ~high).sum(), (weights * high).sum()])
    low_mean, high_mean = sums / torch.stack([(~high).sum(), high.sum()]).clamp_min(1)
    return MetaRecord(loss, weights.mean(), weights.std(correction=0), low_mean, high_mean, (~finite).float())
