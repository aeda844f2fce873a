"""What each rank of `test_other_methods_distributed.py` runs, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nnunetv2_dale.trainer.abstaining_dice import nnUNetTrainerADS
from nnunetv2_dale.trainer.co_training import nnUNetTrainerBECO
from nnunetv2_dale.trainer.meta_weight_net import nnUNetTrainerMWNet
from nnunetv2_dale.trainer.modules_beside import TrainsBeside
from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL
from tests.trainer.distributed import OnCpu, this_rank
from tests.trainer.fixtures import log_of, make_trainer, weights_of

# one epoch of these in which the whole method is at work, and one in which two halves of a batch make the whole of it
AT_WORK: dict[type[TrainsBeside], dict[str, Any]] = {
    nnUNetTrainerSVLDRL: {"warm_up_share": 0.0, "transition_share": 0.0, "full_share": 1.0},
    nnUNetTrainerMWNet: {"patch_size": 8},
    nnUNetTrainerBECO: {"patch_size": 8, "warm_up_share": 0.0},
    nnUNetTrainerADS: {"warm_up_share": 0.0, "noise_rate_is": "given"},
}
JOINED: dict[type[TrainsBeside], dict[str, Any]] = {
    nnUNetTrainerSVLDRL: {"warm_up_share": 1.0, "transition_share": 0.0, "full_share": 0.0},
    nnUNetTrainerBECO: AT_WORK[nnUNetTrainerBECO],
    nnUNetTrainerADS: AT_WORK[nnUNetTrainerADS],
}


def everything_of(trainer: TrainsBeside) -> dict[str, torch.Tensor]:
    """Weights of the network and of the module beside it."""
    beside = {f"beside.{name}": value.detach().clone() for name, value in trainer.beside.state_dict().items()}
    return {**{name.removeprefix("module."): value for name, value in weights_of(trainer).items()}, **beside}


def run_rank(rank: int, environment: dict[str, str], rendezvous: str, folder: Path) -> None:
    """Train each method for an epoch, then two steps on half of a stored batch; what came out goes into `folder`."""
    with this_rank(rank, environment, rendezvous):
        for method, settings in AT_WORK.items():
            trainer = make_trainer(on_cpu(method), settings={method.key: settings}, iterations=2)
            trainer.disable_checkpointing = True
            trainer.run_training()
            found = {"weights": everything_of(trainer), "log": log_of(trainer)}
            torch.save(found, folder / f"{method.key}_trained_{rank}.pth")
        for method, settings in JOINED.items():
            batch = torch.load(folder / f"{method.key}_batch.pth", weights_only=False)
            trainer = make_trainer(on_cpu(method), settings={method.key: settings})
            trainer.on_train_start()
            trainer.network.module.load_state_dict(batch["network"])
            trainer._load_own_state(batch["own"])
            trainer.on_train_epoch_start()
            mine = slice(rank, rank + 1)
            for _ in range(2):
                trainer.train_step({"data": batch["data"][mine], "target": [each[mine] for each in batch["target"]]})
            torch.save(everything_of(trainer), folder / f"{method.key}_joined_{rank}.pth")


def on_cpu(method: type[TrainsBeside]) -> type[TrainsBeside]:
    """The method with distributed training on CPUs, where nnU-Net takes GPUs for granted."""
    return type(f"Distributed{method.__name__}", (OnCpu, method), {})
