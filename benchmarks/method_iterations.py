"""One training iteration of each method beside DALE, on real trainer objects of nnU-Net without data loading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.cases import Case, batch, dataset_json, plans
from benchmarks.synthetic_training import started, without_data

# Passes through the network in forwards, a backward counted as two, over the three of plain nnU-Net.
STEPS = 3  # T of SVL-DRL's default
PASSES = {
    "plain": 1.0,
    "gce": 1.0,
    "svl_drl": (2 * (STEPS + 1) + 3 * STEPS) / 3,  # the episode, back to its images, then each state it acted on
    "mwnet": 9 / 3,  # forward, pseudo-backward, look-ahead (3), shifted forward, backward
    "beco": 6 / 3,
    "ads": 1.0,
    "dknet": 2.0,  # both views of the batch
}
# 3D alone; beside a plain update of its own network, which it runs on two views of the batch.
PASSES_3D = {"dk_uxnet_network": 1.0, "dk_uxnet": 2.0}
SEMI_SUPERVISED = ("dknet", "dk_uxnet_network", "dk_uxnet")
BESIDE = {"dk_uxnet": "dk_uxnet_network"}
# Everything of a method at work from the first epoch on.
SETTINGS: dict[str, dict[str, Any]] = {
    "svl_drl": {"warm_up_share": 0.0, "transition_share": 0.0, "full_share": 1.0, "steps": STEPS},
    "beco": {"warm_up_share": 0.0},
    "ads": {"warm_up_share": 0.0, "noise_rate_is": "given"},
}


def iteration(method: str, case: Case, device: torch.device) -> Callable[..., object]:
    """One training iteration of a method of PASSES or PASSES_3D, to be called again and again.

    On a batch of the case, or on the one given; "plain" is nnU-Net's own train_step.
    """
    made = _trainer(method, case, device)
    data = batch(case, made._get_deep_supervision_scales(), device)
    if method in SEMI_SUPERVISED:
        return _semi_supervised(method, made, data, case.classes)
    return lambda other=None: made.train_step(other or data)


def _semi_supervised(method: str, made: Any, data: dict[str, Any], ignore_label: int) -> Callable[..., object]:
    """An iteration whose second sample has no labels; or nnU-Net's own, on all labels, with DK-UXNet's network.

    Always on the whole batch: one of its samples has labels, the other has none.
    """
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    if method == "dk_uxnet_network":
        return lambda _=None: nnUNetTrainer.train_step(made, data)
    made.unlabelled = frozenset({data["keys"][1]})
    for labels in data["target"] if isinstance(data["target"], list) else [data["target"]]:
        labels[1] = ignore_label
    return lambda _=None: made.train_step(data)


def _trainer(method: str, case: Case, device: torch.device) -> Any:
    own_plans = plans(case)
    settings_of = method.removesuffix("_network")
    own_plans["configurations"][case.configuration][settings_of] = SETTINGS.get(settings_of, {})
    description = dataset_json(case)
    if method in SEMI_SUPERVISED:
        description["labels"]["ignore"] = case.classes
    counted = (1 / case.classes,) * case.classes  # what counting labels would find
    kind = without_data(_trainer_class(method), class_shares=counted)
    return started(kind, case, own_plans, description, device)


def _trainer_class(method: str) -> Any:
    # imported here: nnU-Net reads its folders from the environment when it is imported
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunetv2_dale.trainer.abstaining_dice import nnUNetTrainerADS
    from nnunetv2_dale.trainer.co_training import nnUNetTrainerBECO
    from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
    from nnunetv2_dale.trainer.dknet import nnUNetTrainerDKNet
    from nnunetv2_dale.trainer.meta_weight_net import nnUNetTrainerMWNet
    from nnunetv2_dale.trainer.rivals import nnUNetTrainerGCE
    from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL

    return {
        "plain": nnUNetTrainer,
        "gce": nnUNetTrainerGCE,
        "svl_drl": nnUNetTrainerSVLDRL,
        "mwnet": nnUNetTrainerMWNet,
        "beco": nnUNetTrainerBECO,
        "ads": nnUNetTrainerADS,
        "dknet": nnUNetTrainerDKNet,
        "dk_uxnet": nnUNetTrainerDKUXNet,
        "dk_uxnet_network": nnUNetTrainerDKUXNet,
    }[method]
