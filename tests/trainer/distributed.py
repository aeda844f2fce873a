"""A rank of a distributed training on the CPU, in a process of its own."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

RANKS = 2


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
    matplotlib.rcParams["figure.dpi"] = 10  # as in the fixture `nnunet`
    trainer_module = importlib.import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer")
    vars(trainer_module)["DDP"] = lambda network, device_ids: DistributedDataParallel(network)
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=RANKS)
    np.random.seed(rank)
    torch.manual_seed(rank)
    try:
        yield
    finally:
        distributed.destroy_process_group()
