"""What DALE sees of a batch at the weights a network has: fuzziness, predictions, features and one meta step on ω.

Nothing is trained: weights are as before. Torch and `dale` only, so that it serves any network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.feature_alignment import FeatureTap
from nnunetv2_dale.dale.fuzziness import View, fuzziness_map, fuzzy_mask, non_fuzzy_mask, patch_shape, view_of
from nnunetv2_dale.dale.label_confidence import FuzzyPass, NonFuzzyPass, ShadowNetwork, learn_confidence
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs

# η of the pseudo-step of Eq. 8: nnU-Net's first learning rate. The step on ω is free of its scale.
STEP_SIZE = 0.01


@dataclass(frozen=True)
class NetworkLook:
    """Each of a batch of B images of shape S."""

    m: Tensor  # (B, 1, *S) fuzziness
    logits: Tensor  # (B, K, *S) of the whole images
    features: Tensor  # (B, C, *S) that enter the head, of the whole images
    confidence: Tensor  # (B, 1, *S) ω* after the meta steps


def look(
    network: nn.Module,
    images: Tensor,
    target: Tensor,
    loss: MaskedLoss,
    config: DaleConfig,
    head: nn.Module | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> NetworkLook:
    """Run a network on a batch as one iteration of Algorithm 1 would, without the updates (θ_n = θ).

    Args:
        images: (B, C, *S).
        target: (B, 1, *S) label map or (B, R, *S) regions, as `loss` wants it.
        head: the module whose input are the features; None looks for nnU-Net's.
        spacing_mm: of the axes of S, for the depth of 3D patches.
    Raises:
        ValueError: a network whose head cannot be found, or features on another grid than the images.
    """
    network.train()  # so that the tap keeps what enters the head
    patch = patch_shape(images.shape[2:], config.patch_size, spacing_mm)
    valid = loss.valid(target)
    m = fuzziness_map(images, loss.labels(target), patch, config.entropy_bins, valid, config.fuzziness_source).combined
    tap = FeatureTap(network, head)
    with torch.no_grad():
        logits = first_of(network(images))
        features = tap.take()
    tap.remove()
    if features.shape[2:] != images.shape[2:]:
        raise ValueError(
            f"expected features on the grid of the images, {tuple(images.shape[2:])}, but those that enter the head "
            f"have {tuple(features.shape[2:])}"
        )
    return NetworkLook(m, logits, features, _confidence(network, images, target, loss, config, m))


def first_of(outputs: Outputs) -> Tensor:
    """The output of the full resolution."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def _confidence(
    network: nn.Module, images: Tensor, target: Tensor, loss: MaskedLoss, config: DaleConfig, m: Tensor
) -> Tensor:
    """ω* of the fuzzy view (Eqs. 8–11)."""
    fuzzy, clear = (
        view_of(images, mask, config.view)
        for mask in (fuzzy_mask(m, config.fuzzy_threshold), non_fuzzy_mask(m, config.fuzzy_threshold))
    )

    def of_view(outputs: Outputs, view: View, omega: Tensor | None = None) -> Tensor:
        weight = view.voxel_weight
        if omega is not None:
            weight = omega if weight is None else weight * omega
        return loss(first_of(outputs), target, view.label_mask, weight)

    learned = learn_confidence(
        ShadowNetwork(network),
        [weight for weight in network.parameters() if weight.requires_grad],
        FuzzyPass(fuzzy.images, network(fuzzy.images), lambda outputs, omega: of_view(outputs, fuzzy, omega)),
        NonFuzzyPass(clear.images, lambda outputs: of_view(outputs, clear)),
        STEP_SIZE,
        config,
    )
    return learned.weights
