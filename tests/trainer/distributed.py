"""A rank of a distributed training on the CPU, in a process of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from torch import distributed
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel

from tests.trainer.fixtures import empty_progress_picture

RANKS = 2


def run_ranks(run_rank: Callable[[int, dict[str, str], str, Path], None], folder: Path) -> None:
    """Run it in a process for each rank, forked from one that has imported nnU-Net: that takes longer than a training.

    Args:
        run_rank: takes the rank, nnU-Net's variables, where the ranks meet, and the folder.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith("nnUNet_")}
    multiprocessing.set_forkserver_preload(["nnunetv2_dale.trainer.all_trainers"])
    arguments = (environment, str(folder / "rendezvous"), folder)
    start_processes(run_rank, arguments, nprocs=RANKS, start_method="forkserver")


class OnCpu:
    """Lifts nnU-Net's assumption that distributed training runs on GPUs."""

    def initialize(self) -> None:
        self.device, self.grad_scaler = torch.device("cpu"), None
        super().initialize()  # type: ignore[misc]


@contextmanager
def this_rank(rank: int, environment: dict[str, str], rendezvous: str) -> Iterator[None]:
    """Join the group of `RANKS` processes, with nnU-Net's folders, a thread and random numbers of this rank's own."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    LocalLogger.plot_progress_png = empty_progress_picture  # as in the fixture `nnunet`
    trainer_module = importlib.import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer")
    vars(trainer_module)["DDP"] = lambda network, device_ids: DistributedDataParallel(network)
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=RANKS)
    np.random.seed(rank)
    torch.manual_seed(rank)
    try:
        yield
    finally:
        distributed.destroy_process_group()
