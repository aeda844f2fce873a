"""One training in the paper's setting: Adam, 2D images, no nnU-Net; judged after every epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets import BasicUNetPlusPlus
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.accuracy.arms import STUDIED
from benchmarks.paper.paper_arms import ARMS, PAPER_PATCH, PaperArm, scaled_patch
from benchmarks.paper.paper_augmentation import augmented
from benchmarks.paper.paper_data import PARTS, PaperData, read_data
from benchmarks.paper.paper_networks import NETWORKS
from benchmarks.paper.paper_readings import ReadingStep
from benchmarks.paper.paper_run import PaperRun
from nnunetv2_dale import AlternatingStep, DaleConfig, MaskedLoss
from nnunetv2_dale.dale.masked_loss import Outputs
from nnunetv2_dale.dale.phased_step import PhasedStep

LEARNING_RATE = 3e-4  # Adam's, the paper's; it stays, so that a training's beginning is a shorter training
BATCH = 8  # images; the paper has 24
CLASSES = 2
_JUDGED_AT_ONCE = 50


@dataclass(frozen=True)
class PreparedArm:
    """What an arm does with a batch, and what of it has to be kept for a training to go on."""

    step: Callable[[Tensor, Tensor], object]  # images (B, C, H, W) and labels (B, 1, H, W)
    optimizer: torch.optim.Optimizer
    generator: torch.Generator  # of the alignment's random choices
    config: DaleConfig | None = None
    start_epoch: Callable[[], None] = lambda: None


def train(run: PaperRun, source: Path, checkpoint: Path | None = None) -> dict[str, Any]:
    """Train and judge; what the tables need.

    The checkpoint is written after every epoch. Where it exists, training goes on from it, also of a shorter training.
    """
    parts, facts = read_data(source, run.data, run.labels)
    data = parts["train"]
    channels, size = data.images.shape[1], data.images.shape[2]
    network, head = NETWORKS[run.network].make(channels, CLASSES, size, run.seed)
    batches = run.epochs * -(-len(data.images) // BATCH)
    arm = prepare_arm(ARMS[run.arm], network, head, size, run.seed, batches)
    if ARMS[run.arm].kind == "trainer":
        checkpoint = None  # its phases are shares of the whole training, so a longer one begins anew
    order = torch.Generator().manual_seed(run.seed)
    curve = _read_checkpoint(checkpoint, run.epochs, network, arm, order)
    while len(curve) < run.epochs:
        seconds, updates = _train_epoch(network, arm, data, order)
        judged = {part: dice_of_images(network, parts[part]) for part in PARTS[1:]}
        before = curve[-1] if curve else {"updates": 0, "seconds": 0.0}
        curve.append(
            {
                "epoch": len(curve) + 1,
                "updates": before["updates"] + updates,
                "seconds": round(before["seconds"] + seconds, 2),
                **{part: round(float(dice.mean()), 5) for part, dice in judged.items()},
            }
        )
        _write_checkpoint(checkpoint, curve, network, arm, order)
    return {
        "run": vars(run),
        "setting": {
            "pixels": size,
            "patch": None if arm.config is None else arm.config.patch_size,
            "batch": BATCH,
            "learning_rate": LEARNING_RATE,
            "parameters": sum(weight.numel() for weight in network.parameters()),
            **facts,
        },
        "curve": curve,
        "test_of_last_epoch": [round(float(dice), 4) for dice in dice_of_images(network, parts["test"])],
    }


def _train_epoch(network: nn.Module, arm: PreparedArm, data: PaperData, order: torch.Generator) -> tuple[float, int]:
    """One pass over the images; processor seconds of the steps alone, and the number of optimizer updates."""
    network.train()
    arm.start_epoch()
    seconds, updates = 0.0, 0

    def count(*_: object) -> None:
        nonlocal updates
        updates += 1

    counting = arm.optimizer.register_step_post_hook(count)
    for rows in torch.randperm(len(data.images), generator=order).split(BATCH):
        images, labels = augmented(data.images[rows], data.labels[rows], order)
        started = time.thread_time()
        arm.step(images, labels)
        seconds += time.thread_time() - started
    counting.remove()
    return seconds, updates


def _write_checkpoint(
    file: Path | None, curve: list[dict[str, Any]], network: nn.Module, arm: PreparedArm, order: torch.Generator
) -> None:
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "curve": curve,
        "network": network.state_dict(),
        "optimizer": arm.optimizer.state_dict(),
        "generators": [arm.generator.get_state(), order.get_state()],
    }
    unfinished = file.with_suffix(".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(file)


def _read_checkpoint(
    file: Path | None, epochs: int, network: nn.Module, arm: PreparedArm, order: torch.Generator
) -> list[dict[str, Any]]:
    """The curve so far, everything else put back.

    Raises:
        SystemExit: the checkpoint is of a longer training, which would be lost.
    """
    if file is None or not file.exists():
        return []
    state = torch.load(file)
    curve: list[dict[str, Any]] = state["curve"]
    if len(curve) > epochs:
        raise SystemExit(f"{file} holds {len(curve)} epochs, more than the {epochs} asked for; give --epochs as before")
    network.load_state_dict(state["network"])
    arm.optimizer.load_state_dict(state["optimizer"])
    for generator, kept in zip((arm.generator, order), state["generators"], strict=True):
        generator.set_state(kept)
    return curve


def prepare_arm(
    arm: PaperArm, network: nn.Module, head: nn.Module, size: int, seed: int, batches: int = 1
) -> PreparedArm:
    """The arm's step on a network, with its optimizer and settings; `batches` are those of the whole training."""
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    loss, generator = MaskedLoss(), torch.Generator().manual_seed(seed)
    listed = isinstance(network, BasicUNetPlusPlus)  # gives a list of one output

    def targets(labels: Tensor) -> Outputs:
        return [labels] if listed else labels

    def ordinary(images: Tensor, labels: Tensor) -> None:
        for _ in range(arm.updates):
            optimizer.zero_grad(set_to_none=True)
            loss(network(images), targets(labels)).backward()
            optimizer.step()

    if arm.kind == "ordinary":
        return PreparedArm(ordinary, optimizer, generator)
    config = config_of(arm, size)
    if arm.reading is not None:
        again = ReadingStep(network, optimizer, loss, CLASSES, config, arm.reading, head, generator)
        return PreparedArm(again, optimizer, generator, config)
    alternating = AlternatingStep(
        network, network, optimizer, loss, num_classes=CLASSES, config=config, head=head, generator=generator
    )
    if arm.kind == "trainer":  # its moving averages start anew with every epoch
        phased = PhasedStep(alternating, batches)
        return PreparedArm(
            lambda images, labels: phased(images, targets(labels)), optimizer, generator, config, alternating.forget
        )
    return PreparedArm(lambda images, labels: alternating(images, targets(labels)), optimizer, generator, config)


def config_of(arm: PaperArm, size: int) -> DaleConfig:
    """The arm's settings with the patch scaled to the images."""
    if arm.kind == "trainer":
        return replace(STUDIED, patch_size=scaled_patch(size, STUDIED.patch_size), **arm.settings)
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
