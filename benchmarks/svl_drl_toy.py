"""Does SVL-DRL's policy learn? Toys whose right action is known, with the trainer's own optimizer, stages and weights.

    python -m benchmarks.svl_drl_toy --json FILE     every reward; bright in 2D and 3D, ball in 2D

The network finds foreground where it is bright, and stays as it is. *bright*: everything is labelled foreground. The
right action is to enhance. *ball*: a bright ball on a dark ground. The right action is to enhance the ball and to
weaken what is around it. A policy that knows nothing takes the right action with a probability of 1/3.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from benchmarks.cases import Case, dataset_json, plans
from benchmarks.machine import made_here
from benchmarks.results_file import add_json, write_results
from benchmarks.synthetic_training import synthetic_folders, without_data
from benchmarks.table import markdown
from nnunetv2_dale.commands.command_line import run_command

EPOCHS = 10
CASES = {"2d": Case("2d toy", (64, 64), 2, classes=2), "3d": Case("3d toy", (32, 32, 32), 1, classes=2)}
RADII = {"bright": 9.0, "ball": 0.7}  # of the ball, in half edges of the image
ITERATIONS = {"bright": 240, "ball": 1000}
MEASURED = (("bright", "2d"), ("bright", "3d"), ("ball", "2d"))
REWARDS = ("edit", "share", "volume", "voxel")


class ToyEncoder(nn.Module):
    """Two levels of skips; the first channel of the first is the image."""

    return_skips = True
    output_channels = (2, 4)

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.first, self.second = convolution(1, 1, 3, padding=1), convolution(2, 4, 3, padding=1, stride=2)

    def forward(self, images: Tensor) -> list[Tensor]:
        skip = torch.cat([images, torch.tanh(self.first(images))], dim=1)
        return [skip, torch.tanh(self.second(skip))]


class ToyDecoder(nn.Module):
    """Logits: foreground is what is brighter than 0."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))  # of both logits, so it changes nothing

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        brightness = 2 * skips[0][:, :1]
        return torch.cat([-brightness, brightness], dim=1) + self.shift


class ToyNetwork(nn.Module):
    """What nnU-Net would plan, if it planned this."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.encoder, self.decoder = ToyEncoder(dimensions), ToyDecoder()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.encoder(images))
        return logits


def toy_batch(case: Case, radius: float) -> dict[str, Tensor]:
    """Balls near the centre: intensity 0.3 inside, −0.3 outside, and noise of 0.3."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, length) for length in case.patch), indexing="ij")
    centres = (torch.rand(len(case.patch), case.batch) - 0.5) / 2
    spatial = (1,) * len(case.patch)
    squares = [(axis - centre.view(-1, *spatial)) ** 2 for axis, centre in zip(axes, centres, strict=True)]
    inside = torch.stack(squares).sum(dim=0)[:, None] < radius**2
    images = 0.6 * inside.float() - 0.3 + 0.3 * torch.randn(inside.shape)
    return {"data": images, "target": inside.long()}


def right_action(case: Case, toy: str, settings: dict[str, Any], iterations: int) -> float:
    """Train on a toy from the first stage to the last; the mean probability of the right action in a new batch."""
    torch.manual_seed(0)
    with Path(os.devnull).open("w") as silence, contextlib.redirect_stdout(silence):
        trainer = _toy_trainer(case, settings)
        for epoch in range(EPOCHS):
            trainer.current_epoch = epoch
            trainer.on_train_epoch_start()
            for _ in range(iterations // EPOCHS):
                trainer.train_step(toy_batch(case, RADII[toy]))
    batch = toy_batch(case, RADII[toy])
    with torch.no_grad():
        _, enhance, weaken = trainer.beside.policy(trainer.network.encoder(batch["data"])).softmax(dim=1).unbind(dim=1)
    return float(torch.where(batch["target"][:, 0] == 1, enhance, weaken).mean())


def _toy_trainer(case: Case, settings: dict[str, Any]) -> Any:
    # imported here: nnU-Net reads its folders from the environment when it is imported
    from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL

    def build(plans_manager: Any, *_: Any) -> nn.Module:  # nnU-Net reads this name
        return ToyNetwork(len(case.patch))

    toy = without_data(nnUNetTrainerSVLDRL, build_network_architecture=staticmethod(build))
    own_plans = plans(case)
    own_plans["configurations"][case.configuration]["svl_drl"] = settings
    trainer = toy(own_plans, case.configuration, 0, dataset_json(case), torch.device("cpu"))
    trainer.num_epochs, trainer.enable_deep_supervision = EPOCHS, False
    trainer.on_train_start()
    return trainer


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A row per toy and reward."""
    header = ["toy", "size", "iterations", "reward", "probability of the right action"]
    cells = [
        [row["toy"], " × ".join(map(str, row["patch"])), row["iterations"], row["reward"], f"{row['right']:.3f}"]
        for row in rows
    ]
    return markdown(header, cells)


def run(arguments: argparse.Namespace) -> None:
    os.environ["nnUNet_compile"] = "f"  # noqa: SIM112 -- nnU-Net's name
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with synthetic_folders():
        for toy, dimensions in MEASURED:
            case, iterations = CASES[dimensions], ITERATIONS[toy]
            for reward in REWARDS:
                right = right_action(case, toy, {"reward": reward}, iterations)
                row = {"toy": toy, "patch": case.patch, "iterations": iterations, "reward": reward}
                rows.append({**row, "right": round(right, 4)})
                print(rows[-1], flush=True)
    print(table(rows))
    if arguments.json:
        write_results(arguments.json, {**made_here(), "toys": rows}, arguments.overwrite)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_json(parser)
    return run_command(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
