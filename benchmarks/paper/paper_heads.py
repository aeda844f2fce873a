"""Which module of a network by others DALE listens to, and whether its updates reach every parameter.

Some networks hold parameters that their own forward does not use: UNet++ its further heads, without deep supervision;
UNETR the norms of a cross-attention. Ordinary training does not reach them either, and that is what is compared.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.paper.paper_arms import ARMS
from benchmarks.paper.paper_networks import NETWORKS
from benchmarks.paper.paper_training import CLASSES, prepare_arm


def head_of(name: str, size: int = 64, channels: int = 3) -> dict[str, Any]:
    """One iteration of the printed method, with a network of `NETWORKS`, on random images: what did not change.

    The network's class, its head, the shape of the aligned features, how many parameter tensors and weights it has,
    and the names of those without a gradient in DALE's second update and in ordinary training.
    """
    shapes: list[tuple[int, ...]] = []
    missed: dict[str, list[str]] = {}
    images = torch.randn(4, channels, size, size, generator=torch.Generator().manual_seed(1))
    labels = (images.mean(dim=1, keepdim=True) > 0.5).long()
    for arm in ("ordinary", "DALE as printed"):
        network, head = NETWORKS[name].make(channels, CLASSES, size, seed=1)
        head.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
        prepare_arm(ARMS[arm], network, head, size, seed=1).step(images, labels)
        missed[arm] = [
            key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()
        ]
    return {
        "network": name,
        "class": type(network).__name__,
        "head": NETWORKS[name].head,
        "features": list(shapes[0][1:]),
        "tensors": sum(1 for _ in network.parameters()),
        "weights": sum(weight.numel() for weight in network.parameters()),
        "unreached": missed["DALE as printed"],
        "unreached_by_ordinary_training": missed["ordinary"],
    }
