"""What each rank of `test_distributed.py` runs, in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from tests.trainer.distributed import OnCpu, this_rank
from tests.trainer.fixtures import log_of, make_trainer, weights_of


class DistributedDALE(OnCpu, Printed):
    pass


class Alternation(Printed):
    """The two masked updates alone, on every batch."""

    dale = replace(Printed.dale, confidence_steps=0, alignment_weight=0.0)


class DistributedAlternation(OnCpu, Alternation):
    pass


class DistributedPhases(OnCpu, nnUNetTrainerDALE):
    """The first of three batches is whole, the second Algorithm 1, the third whole; classes are looked at."""

    dale = replace(nnUNetTrainerDALE.dale, phase_in=0.3, phase_out=0.0, every=2, learned=1e-3, case_trust="off")


def run_rank(rank: int, environment: dict[str, str], rendezvous: str, folder: Path) -> None:
    """Train the whole method, with the graph of the shifted forward, and in phases; then one update on half of a batch.

    Weights and logs go into `folder`.
    """
    with this_rank(rank, environment, rendezvous):
        trained = make_trainer(DistributedDALE, epochs=2, iterations=3)
        trained.run_training()
        torch.save({"weights": weights_of(trained), "log": log_of(trained)}, folder / f"trained_{rank}.pth")

        shifted = make_trainer(DistributedDALE, settings={"dale": {"fuzzy_graph": "shifted"}}, epochs=1, iterations=3)
        shifted.disable_checkpointing = True  # the first training has its files in the same folder
        shifted.run_training()
        torch.save({"weights": weights_of(shifted), "log": log_of(shifted)}, folder / f"shifted_{rank}.pth")

        phased = make_trainer(DistributedPhases, epochs=1, iterations=3)
        phased.disable_checkpointing = True
        phased.run_training()
        torch.save({"weights": weights_of(phased), "log": log_of(phased)}, folder / f"phased_{rank}.pth")

        batch = torch.load(folder / "batch.pth", weights_only=False)
        one_sample = {
            "data": batch["data"][rank : rank + 1],
            "target": [target[rank : rank + 1] for target in batch["target"]],
        }
        alternation = make_trainer(DistributedAlternation)
        alternation.on_train_start()
        alternation.network.module.load_state_dict(batch["weights"])
        alternation.on_train_epoch_start()
        for _ in range(2):
            alternation.train_step(one_sample)
        torch.save(weights_of(alternation), folder / f"joined_{rank}.pth")
