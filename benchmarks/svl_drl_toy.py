"""Does SVL-DRL's policy learn? A toy whose right action is known, with the trainer's own optimizer, stages and weights.

    python benchmarks/svl_drl_toy.py --json FILE     every reward, 2D and 3D

A bright ball on a dark ground. The network calls a voxel foreground where it is bright, so the right action is to
enhance the ball and to weaken what is around it. A policy that knows nothing takes it with a probability of 1/3.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout works without installation
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from cases import Case, dataset_json, plans
from machine import command_line, describe
from results_file import ResultsFile
from synthetic_training import synthetic_folders
from table import markdown
from torch import Tensor, nn

from nnunetv2_dale.commands.command_line import run_command

EPOCHS = 10
SLOPE = 2.0
RADIUS = 0.7
FLAT = Case("2d toy", (64, 64), 2, classes=2)
SOLID = Case("3d toy", (32, 32, 32), 1, classes=2)


class ToyEncoder(nn.Module):
    """Two levels; the first channel of the first is the image."""

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
    """Foreground is what is brighter than 0."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))  # of all logits: it changes nothing, so the network stays as it is

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        brightness = SLOPE * skips[0][:, :1]
        return torch.cat([-brightness, brightness], dim=1) + self.shift


class ToyNetwork(nn.Module):
    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.encoder, self.decoder = ToyEncoder(dimensions), ToyDecoder()

    def forward(self, images: Tensor) -> Tensor:
        return self.decoder(self.encoder(images))


def toy_batch(patch: Sequence[int], size: int) -> dict[str, Tensor]:
    """Balls of radius 0.3 at random places: intensity 0.5 inside, −0.5 outside, and noise."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, length) for length in patch), indexing="ij")
    centres = (torch.rand(size, len(patch)) - 0.5) / 2
    distance = sum((axis - centre.view(-1, *(1,) * len(patch))) ** 2 for axis, centre in zip(axes, centres.T))
    inside = distance[:, None] < RADIUS**2
    images = 0.6 * inside.float() - 0.3 + 0.3 * torch.randn(inside.shape)
    return {"data": images, "target": inside.long()}


def trained(case: Case, settings: dict[str, Any], iterations: int, seed: int = 0) -> float:
    """Train, and return the probability of the right action, mean over the voxels of new images."""
    from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL

    class Toy(nnUNetTrainerSVLDRL):
        @staticmethod
        def build_network_architecture(*_: Any, **__: Any) -> nn.Module:
            return ToyNetwork(len(case.patch))

        def get_dataloaders(self) -> tuple[None, None]:
            return None, None

        def plot_network_architecture(self) -> None:
            pass

    own_plans = plans(case)
    own_plans["configurations"][case.configuration]["svl_drl"] = settings
    torch.manual_seed(seed)
    with Path(os.devnull).open("w") as silence, contextlib.redirect_stdout(silence):
        trainer = Toy(own_plans, case.configuration, 0, dataset_json(case), torch.device("cpu"))
        trainer.num_epochs, trainer.enable_deep_supervision = EPOCHS, False
        trainer.on_train_start()
        for trainer.current_epoch in range(EPOCHS):
            trainer.on_train_epoch_start()
            rows=[]
            for _ in range(iterations // EPOCHS):
                rows.append(trainer.train_step(toy_batch(case.patch, case.batch)))
            import numpy as np; v=np.mean([r["svl_drl"] for r in rows],0); print(dict(zip(trainer.numbers,v.round(4))),file=sys.stderr)
    batch = toy_batch(case.patch, case.batch)
    with torch.no_grad():
        policy = trainer.beside.policy(trainer._plain_network().encoder(batch["data"])).softmax(dim=1)
    right = torch.where(batch["target"] == 1, policy[:, 1:2], policy[:, 2:3])
    print([[round(policy[:,i:i+1][batch["target"]==k].mean().item(),3) for i in range(3)] for k in (1,0)])
    return float(right.mean())


if __name__ == "__main__":
    import time
    torch.set_num_threads(1)
    os.environ["nnUNet_compile"]="f"
    with synthetic_folders():
        for case in (FLAT, SOLID):
            for reward in ("share","volume","voxel"):
                t=time.process_time()
                print(case.name, reward, trained(case, {"reward": reward}, int(sys.argv[1])), time.process_time()-t, flush=True)
