"""What each rank of `test_dk_uxnet_distributed.py` runs, in a process of its own."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import matplotlib
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from tests.trainer.fixtures import started, weights_of
from tests.trainer.unlabelled_dataset import CASES, IGNORE, make_trainer

RANKS = 2
# what each rank draws in turn: labels on the first rank only, on none, on the second only, on both
DRAWN = (
    ((CASES[2], CASES[1]), (CASES[3], CASES[1])),
    ((CASES[1], CASES[3]), (CASES[3], CASES[1])),
    ((CASES[1], CASES[3]), (CASES[4], CASES[3])),
    ((CASES[1], CASES[2]), (CASES[4], CASES[2])),
)


class DistributedDKUXNet(nnUNetTrainerDKUXNet):
    """Lifts nnU-Net's assumption that distributed training runs on GPUs."""

    def initialize(self) -> None:
        self.device, self.grad_scaler = torch.device("cpu"), None
        super().initialize()


def run_rank(rank: int, environment: dict[str, str], rendezvous: str, folder: Path) -> None:
    """Train on `DRAWN` with a Dice per sample and with one of the batch; the weights go into `folder`."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    matplotlib.rcParams["figure.dpi"] = 10  # as in the fixture `nnunet`
    trainer_module = importlib.import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer")
    trainer_module.DDP = lambda network, device_ids: DistributedDataParallel(network)
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=RANKS)
    try:
        for batch_dice in (False, True):
            torch.manual_seed(rank)
            plans = {"batch_size": 4, "batch_dice": batch_dice}
            trainer = started(make_trainer(DistributedDKUXNet, plans_settings=plans))
            for drawn in DRAWN:
                labels = torch.stack([_labels(case in trainer.unlabelled) for case in drawn[rank]])
                images = torch.randn(2, 1, 8, 32, 32)
                trainer.train_step({"data": images, "target": labels, "keys": list(drawn[rank])})
            torch.save(weights_of(trainer), folder / f"weights_{batch_dice}_{rank}.pth")
    finally:
        distributed.destroy_process_group()


def _labels(ignored: bool) -> torch.Tensor:
    return torch.full((1, 8, 32, 32), IGNORE) if ignored else torch.randint(0, IGNORE, (1, 8, 32, 32))
