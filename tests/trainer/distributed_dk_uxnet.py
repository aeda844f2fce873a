"""What each rank of `test_dk_uxnet_distributed.py` runs, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.dknet import nnUNetTrainerDKNet
from tests.datasets import CASES, IGNORE
from tests.trainer.distributed import OnCpu, this_rank
from tests.trainer.fixtures import make_dk_uxnet, make_dknet, started, weights_of

# what each rank draws in turn: labels on the first rank only, on none, on the second only, on both
DRAWN = (
    ((CASES[2], CASES[1]), (CASES[3], CASES[1])),
    ((CASES[1], CASES[3]), (CASES[3], CASES[1])),
    ((CASES[1], CASES[3]), (CASES[4], CASES[3])),
    ((CASES[1], CASES[2]), (CASES[4], CASES[2])),
)


class DistributedDKUXNet(OnCpu, nnUNetTrainerDKUXNet):
    pass


class DistributedDKNet(OnCpu, nnUNetTrainerDKNet):
    pass


def run_rank(rank: int, environment: dict[str, str], rendezvous: str, folder: Path) -> None:
    """Train on `DRAWN` with a Dice per sample and with one of the batch; the weights go into `folder`."""
    with this_rank(rank, environment, rendezvous):
        for batch_dice in (False, True):
            torch.manual_seed(rank)
            plans = {"batch_size": 4, "batch_dice": batch_dice}
            trainer = started(make_dk_uxnet(DistributedDKUXNet, plans_settings=plans))
            for drawn in DRAWN:
                labels = torch.stack([_labels(case in trainer.unlabelled) for case in drawn[rank]])
                images = torch.randn(2, 1, 8, 32, 32)
                trainer.train_step({"data": images, "target": labels, "keys": list(drawn[rank])})
            torch.save(weights_of(trainer), folder / f"weights_{batch_dice}_{rank}.pth")
        trainer = started(make_dknet(DistributedDKNet, "3d_fullres", batch_size=4))
        for drawn in DRAWN:
            labels = torch.stack([_labels(case in trainer.unlabelled) for case in drawn[rank]])
            targets = [labels, labels[..., ::2, ::2]]
            trainer.train_step({"data": torch.randn(2, 1, 8, 32, 32), "target": targets, "keys": list(drawn[rank])})
        own = {f"beside.{name}": value for name, value in trainer.beside.state_dict().items()}
        torch.save({**weights_of(trainer), **own}, folder / f"weights_dknet_{rank}.pth")


def _labels(ignored: bool) -> torch.Tensor:
    return torch.full((1, 8, 32, 32), IGNORE) if ignored else torch.randint(0, IGNORE, (1, 8, 32, 32))
