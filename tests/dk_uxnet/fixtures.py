"""A DK-UXNet of a few thousand weights, and a batch for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig
from nnunetv2_dale.dk_uxnet.losses import LossTerms, loss_terms
from nnunetv2_dale.dk_uxnet.network import DkUxnet

TINY = DkUxnetConfig(
    width=4, stages=2, blocks=1, query_count=6, query_channels=8, attention_heads=2, feed_forward_channels=8
)
CLASSES, IGNORE = 3, 3
STRIDES = ((1, 2, 2), (2, 2, 2))


def tiny_network() -> DkUxnet:
    torch.manual_seed(0)
    network = DkUxnet(1, CLASSES, STRIDES, TINY)
    for name, weight in network.named_parameters():
        if name.endswith("layer_scale"):
            nn.init.constant_(weight, 0.5)  # 1e-6 at the start hides the blocks from a test
    return network


def two_views(samples: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Weak views, and strong ones of the same crops; (samples, 1, 4, 8, 8) each."""
    generator = torch.Generator().manual_seed(seed)
    weak = torch.randn(samples, 1, 4, 8, 8, generator=generator)
    return weak, weak + 0.1 * torch.randn(weak.shape, generator=generator)


def labels_for(images: Tensor, seed: int = 0) -> Tensor:
    return torch.randint(0, CLASSES, images.shape, generator=torch.Generator().manual_seed(seed))


def cross_entropy_of_labelled(logits: Sequence[Tensor], labels: Sequence[Tensor], labelled: Tensor) -> Tensor:
    """A supervised loss that is simple enough for a test, of full resolution."""
    if not labelled.any():
        return logits[0].sum() * 0
    return functional.cross_entropy(logits[0][labelled], labels[0][labelled, 0].long(), ignore_index=IGNORE)


def terms_of(network: DkUxnet, views: tuple[Tensor, Tensor], labels: Tensor, labelled: list[bool]) -> LossTerms:
    outputs = network(torch.cat(views), every_output=True)
    return loss_terms(
        outputs,
        [labels],
        torch.tensor(labelled),
        sizes=network.queries.group_sizes,
        ignore_label=IGNORE,
        supervised=cross_entropy_of_labelled,
        temperature=0.5,
    )
