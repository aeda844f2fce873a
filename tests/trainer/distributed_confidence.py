"""What each rank of the distributed test of `test_given_confidence.py` runs, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from nnunetv2_dale.trainer.confidence import nnUNetTrainerConfidence
from tests.datasets import CASES
from tests.trainer.distributed import OnCpu, this_rank
from tests.trainer.fixtures import log_of, make_trainer, weights_of


class Distributed(OnCpu, nnUNetTrainerConfidence):
    """On CPUs, where nnU-Net takes GPUs for granted."""


def run_rank(rank: int, environment: dict[str, str], rendezvous: str, folder: Path) -> None:
    """Train for an epoch, then make two steps on half of a stored batch; what came out goes into `folder`."""
    with this_rank(rank, environment, rendezvous):
        trainer = make_trainer(Distributed)
        trainer.disable_checkpointing = True
        trainer.run_training()
        found = {"trained": weights_of(trainer), "dice": log_of(trainer)["dice_per_class_or_region"]}
        batch = torch.load(folder / "batch.pth", weights_only=False)
        trainer = make_trainer(Distributed)
        trainer.on_train_start()
        trainer.network.module.load_state_dict(batch["weights"])
        trainer.on_train_epoch_start()
        mine = slice(rank, rank + 1)
        for _ in range(2):
            target = [each[mine] for each in batch["target"]]
            trainer.train_step({"data": batch["data"][mine], "target": target, "keys": batch["keys"][mine]})
        joined = weights_of(trainer)
        # of the samples of one rank all is annotated, of the other's not: it looks at each by itself
        keys = [CASES[4], CASES[4]] if rank == 0 else [CASES[1], CASES[2]]
        with torch.no_grad():
            validated = trainer.validation_step(
                {**batch, "target": [each.clone() for each in batch["target"]], "keys": keys}
            )
        torch.save({**found, "joined": joined, "validated": validated["loss"]}, folder / f"rank_{rank}.pth")
