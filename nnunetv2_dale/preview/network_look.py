"""What a trained network makes of a batch: features of the whole images, one meta step on ω. Nothing is trained.

Torch and `dale` only, so that it serves any network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.look import look_at
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution

# η of the pseudo-step of Eq. 8: nnU-Net's first learning rate. The step on ω is free of its scale.
STEP_SIZE = 0.01


@dataclass(frozen=True)
class NetworkLook:
    """Each of a batch of B images of shape S."""

    m: Tensor  # (B, 1, *S) fuzziness
    logits: Tensor  # (B, K, *S) of the whole images
    features: Tensor  # (B, C, *S) that enter the head, of the whole images
    omega: Tensor  # (B, 1, *S) ω after the meta steps


def look(
    network: nn.Module,
    images: Tensor,
    targets: Outputs,
    loss: MaskedLoss,
    num_classes: int,
    config: DaleConfig,
    head: nn.Module | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> NetworkLook:
    """Run a network on a batch as one iteration of Algorithm 1 would, without its updates.

    Args:
        images: (B, C, *S).
        targets, loss, num_classes, config, head, spacing_mm: of `AlternatingStep`.
    Raises:
        ValueError: a network whose head cannot be found, or features on another grid than the images.
    """
    network.train()  # so that the tap keeps what enters the head
    optimizer = torch.optim.SGD(network.parameters(), STEP_SIZE)
    seeded = torch.Generator(images.device).manual_seed(0)
    step = AlternatingStep(
        network, network, optimizer, loss, num_classes, config, spacing_mm, head=head, generator=seeded
    )
    with torch.no_grad():
        outputs, features = step.see(images)
    assert features is not None
    seen = look_at(step, images, targets)
    step.see.remove()  # the network is shown further cases, with an iteration of their own
    return NetworkLook(seen.batch.fuzziness, full_resolution(outputs), features, seen.meta)
