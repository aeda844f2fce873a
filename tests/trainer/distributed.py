"""What each rank of `test_distributed.py` runs on the CPU: all trainings, since starting a process takes longer."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from torch import Tensor, distributed
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_dale.trainer.abstaining_dice import nnUNetTrainerADS
from nnunetv2_dale.trainer.co_training import nnUNetTrainerBECO
from nnunetv2_dale.trainer.confidence import nnUNetTrainerConfidence
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.dknet import nnUNetTrainerDKNet
from nnunetv2_dale.trainer.meta_weight_net import nnUNetTrainerMWNet
from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL
from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted as Printed
from tests.datasets import CASES, IGNORE
from tests.trainer.every_method import AT_ONCE
from tests.trainer.fixtures import (
    TINY_DK_UXNET,
    TINY_DKNET,
    empty_progress_picture,
    log_of,
    make_trainer,
    started,
    weights_of,
)

RANKS = 2
GIVEN = "preprocessed with confidence"  # in the test's folder; where the trainings called "confidence" have their data
Trainings = dict[str, tuple[type[SafeTraining], dict[str, Any]]]  # by name: the trainer and arguments of `make_trainer`
# the first of three batches is whole, the second Algorithm 1, the third whole; classes are looked at
PHASES = {"phase_in": 0.3, "phase_out": 0.0, "every": 2, "learned": 1e-3, "case_trust": "off"}
# for an epoch or two
TRAINED: Trainings = {
    "as printed": (Printed, {"epochs": 2}),
    "shifted": (Printed, {"settings": {"dale": {"fuzzy_graph": "shifted"}}}),
    "phases": (nnUNetTrainerDALE, {"settings": {"dale": PHASES}}),
    **{
        kind.key: (kind, {"settings": AT_ONCE[kind], "iterations": 2})
        for kind in (nnUNetTrainerSVLDRL, nnUNetTrainerMWNet, nnUNetTrainerBECO, nnUNetTrainerADS)
    },
    "confidence": (nnUNetTrainerConfidence, {}),
}
# of which two halves of a batch make the updates of the whole: nothing is drawn, nothing is of a rank alone
JOINED: Trainings = {
    "alternation": (Printed, {"settings": {"dale": {"confidence_steps": 0, "alignment_weight": 0.0}}}),
    "svl_drl": (
        nnUNetTrainerSVLDRL,
        {"settings": {"svl_drl": {"warm_up_share": 1.0, "transition_share": 0.0, "full_share": 0.0}}},
    ),
    **{kind.key: (kind, {"settings": AT_ONCE[kind]}) for kind in (nnUNetTrainerBECO, nnUNetTrainerADS)},
    "confidence": (nnUNetTrainerConfidence, {}),
}
_UNLABELLED = {"kind": "Unlabelled", "configuration": "3d_fullres"}
# the cases that each rank validates with confidence: of the first all is annotated, of the second's not
VALIDATED = ([CASES[4], CASES[4]], [CASES[1], CASES[2]])
# with a Dice per sample and with one of the batch, on `DRAWN`
UNEQUAL: Trainings = {
    **{
        f"DK-UXNet {batch_dice}": (
            nnUNetTrainerDKUXNet,
            {"settings": {"dk_uxnet": TINY_DK_UXNET, "batch_size": 4, "batch_dice": batch_dice}, **_UNLABELLED},
        )
        for batch_dice in (False, True)
    },
    "DKNet": (nnUNetTrainerDKNet, {"settings": {"dknet": TINY_DKNET, "batch_size": 4}, **_UNLABELLED}),
}
# what each rank draws in turn: labels on the first rank only, on none, on the second only, on both
DRAWN = (
    ((CASES[2], CASES[1]), (CASES[3], CASES[1])),
    ((CASES[1], CASES[3]), (CASES[3], CASES[1])),
    ((CASES[1], CASES[3]), (CASES[4], CASES[3])),
    ((CASES[1], CASES[2]), (CASES[4], CASES[2])),
)


def run_ranks(folder: Path) -> None:
    """Run `run_rank` in a process for each rank, forked from one that has imported nnU-Net."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("nnUNet_")}
    multiprocessing.set_forkserver_preload(["nnunetv2_dale.trainer.all_trainers"])
    start_processes(run_rank, (environment, folder), nprocs=RANKS, start_method="forkserver")


def run_rank(rank: int, environment: dict[str, str], folder: Path) -> None:
    """Make all trainings; what came out of each goes into `folder`, as NAME_RANK.pth.

    Those of `JOINED` make two steps on this rank's half of the batch in NAME_batch.pth, from the weights there.
    """
    with this_rank(rank, environment, folder / "rendezvous"):
        for name in TRAINED:
            trainer = made(name, TRAINED, environment, folder)
            trainer.disable_checkpointing = name != "as printed"
            trainer.run_training()
            torch.save({"weights": everything_of(trainer), "log": log_of(trainer)}, folder / f"{name}_{rank}.pth")
        for name in UNEQUAL:
            torch.manual_seed(rank)
            trainer = started(made(name, UNEQUAL, environment, folder))
            for drawn in DRAWN:
                trainer.train_step(batch_of(drawn[rank], trainer))
            torch.save({"weights": everything_of(trainer), "log": {}}, folder / f"{name}_{rank}.pth")
        mine = slice(rank, rank + 1)
        for name in JOINED:
            stored = torch.load(folder / f"{name}_batch.pth", weights_only=False)
            trainer = made(name, JOINED, environment, folder)
            trainer.on_train_start()
            load(trainer, stored["weights"])
            trainer.on_train_epoch_start()
            target = [each[mine] for each in stored["target"]]
            for _ in range(2):
                trainer.train_step({"data": stored["data"][mine], "target": target, "keys": stored["keys"][mine]})
            joined = {"weights": everything_of(trainer)}
            if name == "confidence":
                joined["validated"] = validated(trainer, stored, rank)
            torch.save(joined, folder / f"{name}_joined_{rank}.pth")


def made(name: str, trainings: Trainings, environment: dict[str, str], folder: Path) -> Any:
    """A trainer on CPUs, where nnU-Net takes GPUs for granted."""
    kind, arguments = trainings[name]
    os.environ.update(environment | ({"nnUNet_preprocessed": str(folder / GIVEN)} if name == "confidence" else {}))
    return make_trainer(type(f"Distributed{kind.__name__}", (OnCpu, kind), {}), **arguments)


class OnCpu:
    """Lifts nnU-Net's assumption that distributed training runs on GPUs."""

    def initialize(self) -> None:
        self.device, self.grad_scaler = torch.device("cpu"), None
        super().initialize()  # type: ignore[misc]


@contextmanager
def this_rank(rank: int, environment: dict[str, str], rendezvous: Path) -> Iterator[None]:
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


def batch_of(cases: tuple[str, ...], trainer: Any) -> dict[str, Any]:
    """Random images and labels of these cases, with ignored voxels alone where a case has no labels."""
    shape, unlabelled = (1, 8, 32, 32), trainer.unlabelled
    maps = [torch.full(shape, IGNORE) if case in unlabelled else torch.randint(0, IGNORE, shape) for case in cases]
    labels = torch.stack(maps)
    target = [labels, labels[..., ::2, ::2]] if trainer.enable_deep_supervision else labels
    return {"data": torch.randn(2, 1, 8, 32, 32), "target": target, "keys": list(cases)}


def validated(trainer: Any, batch: dict[str, Any], rank: int) -> Any:
    """The validation's loss of a rank, which looks at each sample by itself where not all is annotated."""
    target = [each.clone() for each in batch["target"]]
    with torch.no_grad():
        return trainer.validation_step({"data": batch["data"], "target": target, "keys": VALIDATED[rank]})["loss"]


def everything_of(trainer: Any) -> dict[str, Tensor]:
    """Weights of the network, and of the module beside it where there is one."""
    weights = {name.removeprefix("module."): value for name, value in weights_of(trainer).items()}
    beside = trainer.beside.state_dict() if hasattr(trainer, "beside") else {}
    return {**weights, **{f"beside.{name}": value.detach().clone() for name, value in beside.items()}}


def load(trainer: Any, weights: dict[str, Tensor]) -> None:
    """Give the trainer what `everything_of` returned."""
    beside = {name.removeprefix("beside."): value for name, value in weights.items() if name.startswith("beside.")}
    network = {name: value for name, value in weights.items() if not name.startswith("beside.")}
    trainer.network.module.load_state_dict(network)
    if beside:
        trainer.beside.load_state_dict(beside)
