"""One training in the paper's setting: Adam, 2D images, no nnU-Net; judged after every epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets import BasicUNetPlusPlus
from numpy.typing import NDArray
from paper_arms import ARMS, PAPER_PATCH, PaperArm, scaled_patch
from paper_augmentation import augmented
from paper_data import PARTS, PaperData, read_data
from paper_networks import NETWORKS
from paper_readings import ReadingStep
from torch import Tensor, nn

from nnunetv2_dale import AlternatingStep, DaleConfig, MaskedLoss
from nnunetv2_dale.dale.masked_loss import Outputs

LEARNING_RATE = 3e-4  # Adam's, the paper's; it stays, so that a training's beginning is a shorter training
BATCH = 8  # images; the paper has 24
CLASSES = 2
_JUDGED_AT_ONCE = 50

Step = Callable[[Tensor, Tensor], None]


@dataclass(frozen=True)
class PaperRun:
    """One training. A seed is the network's first weights, the order of the images and their augmentation."""

    data: str  # polyps or nodules
    labels: str  # clean, or the noise of the training labels
    network: str
    arm: str
    epochs: int
    seed: int = 1

    @property
    def key(self) -> str:
        return "/".join(str(each) for each in vars(self).values())


def train(run: PaperRun, source: Path, weights: Path | None = None) -> dict[str, Any]:
    """Train and judge; what the tables need.

    Args:
        source: folder of the data.
        weights: where the trained weights are kept, for the figures; None keeps none.
    """
    parts, facts = read_data(source, run.data, run.labels)
    data = parts["train"]
    channels, size = data.images.shape[1], data.images.shape[2]
    network, head = NETWORKS[run.network].make(channels, CLASSES, size, run.seed)
    config, step = make_step(ARMS[run.arm], network, head, size, run.seed)
    order = torch.Generator().manual_seed(run.seed)
    curve: list[dict[str, Any]] = []
    seconds, batches = 0.0, 0
    for epoch in range(1, run.epochs + 1):
        network.train()
        for rows in torch.randperm(len(data.images), generator=order).split(BATCH):
            images, labels = augmented(data.images[rows], data.labels[rows], order)
            started = time.thread_time()
            step(images, labels)
            seconds += time.thread_time() - started
            batches += 1
        judged = {part: dice_of_images(network, parts[part]) for part in PARTS[1:]}
        curve.append(
            {
                "epoch": epoch,
                "updates": batches * updates_per_batch(ARMS[run.arm]),
                "seconds": round(seconds, 2),
                **{part: round(float(dice.mean()), 5) for part, dice in judged.items()},
            }
        )
    if weights is not None:
        weights.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), weights)
    return {
        "run": vars(run),
        "setting": {
            "pixels": size,
            "patch": None if config is None else config.patch_size,
            "batch": BATCH,
            "learning_rate": LEARNING_RATE,
            "parameters": sum(weight.numel() for weight in network.parameters()),
            **facts,
        },
        "curve": curve,
        "test_of_last_epoch": [round(float(dice), 4) for dice in judged["test"]],
    }


def updates_per_batch(arm: PaperArm) -> int:
    """Optimizer updates that a batch makes; 2 in Algorithm 1."""
    return arm.updates if arm.kind == "ordinary" else 2


def make_step(
    arm: PaperArm, network: nn.Module, head: nn.Module, size: int, seed: int
) -> tuple[DaleConfig | None, Step]:
    """The arm's settings, and what it does with a batch."""
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    loss, generator = MaskedLoss(), torch.Generator().manual_seed(seed)

    def targets(labels: Tensor) -> Outputs:
        return [labels] if isinstance(network, BasicUNetPlusPlus) else labels  # UNet++ gives a list of one output

    if arm.kind == "ordinary":

        def ordinary(images: Tensor, labels: Tensor) -> None:
            for _ in range(arm.updates):
                optimizer.zero_grad(set_to_none=True)
                loss(network(images), targets(labels)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()

        return None, ordinary
    config = config_of(arm, size)
    if arm.reading is not None:
        return config, ReadingStep(network, optimizer, loss, CLASSES, config, arm.reading, head, generator)
    alternating = AlternatingStep(
        network, network, optimizer, loss, num_classes=CLASSES, config=config, head=head, generator=generator
    )

    def alternate(images: Tensor, labels: Tensor) -> None:
        alternating(images, targets(labels))

    return config, alternate


def config_of(arm: PaperArm, size: int) -> DaleConfig:
    """The arm's settings with the patch scaled to the images."""
    settings = dict(arm.settings)
    settings["patch_size"] = scaled_patch(size, settings.get("patch_size", PAPER_PATCH))
    return DaleConfig().updated(settings)


@torch.no_grad()
def predicted(network: nn.Module, images: Tensor) -> Tensor:
    """(N, 1, H, W) bool: the more probable class is the foreground."""
    network.eval()
    found = []
    for batch in images.split(_JUDGED_AT_ONCE):
        outputs = network(batch)
        logits = outputs if isinstance(outputs, Tensor) else outputs[0]
        found.append(logits.argmax(dim=1, keepdim=True) == 1)
    return torch.cat(found)


def dice_of_images(network: nn.Module, data: PaperData) -> NDArray[np.float64]:
    """The Dice of each image; 1 where neither the label nor the prediction has foreground."""
    found, wanted = predicted(network, data.images), data.labels == 1
    both = (found & wanted).flatten(1).sum(dim=1).double()
    total = found.flatten(1).sum(dim=1) + wanted.flatten(1).sum(dim=1)
    return torch.where(total > 0, 2 * both / total.clamp_min(1), 1.0).numpy()
