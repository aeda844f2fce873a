"""Settings with which the whole of each method is at work in a training of a few batches."""

from __future__ import annotations

from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dale.trainer.abstaining_dice import nnUNetTrainerADS
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.co_training import nnUNetTrainerBECO
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.dknet import nnUNetTrainerDKNet
from nnunetv2_dale.trainer.meta_weight_net import nnUNetTrainerMWNet
from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL
from nnunetv2_dale.trainer.variants import nnUNetTrainerDALE_asPrinted
from tests.trainer.fixtures import EAGER_TO_DOUBT, TINY_DK_UXNET, TINY_DKNET

Settings = dict[type[nnUNetTrainer], dict[str, Any]]

# one phase after the other; the last from the second of two epochs on
BY_AND_BY: Settings = {
    nnUNetTrainerDALE_asPrinted: {},
    # of 8 batches the first two are whole; then every second is an iteration of Algorithm 1
    nnUNetTrainerDALE: {
        "dale": {"phase_in": 0.25, "phase_out": 0.0, "every": 2, "learned": 0.01, "patch_size": 8},
        **EAGER_TO_DOUBT,
    },
    nnUNetTrainerCaseTrust: EAGER_TO_DOUBT,
    nnUNetTrainerSVLDRL: {"svl_drl": {"warm_up_share": 0.5, "transition_share": 0.0, "full_share": 0.5}},
    nnUNetTrainerMWNet: {"mwnet": {"patch_size": 8}},
    nnUNetTrainerBECO: {"beco": {"patch_size": 8, "warm_up_share": 0.5}},
    nnUNetTrainerADS: {"ads": {"warm_up_share": 0.5}},
    nnUNetTrainerDKNet: {"dknet": TINY_DKNET},
    nnUNetTrainerDKUXNet: {"dk_uxnet": TINY_DK_UXNET},
}
# from the first batch on
AT_ONCE: Settings = {
    **BY_AND_BY,
    nnUNetTrainerDALE: {"dale": {"phase_in": 0.0, "phase_out": 0.0, "learned": 0.0, "patch_size": 8}},
    nnUNetTrainerSVLDRL: {"svl_drl": {"warm_up_share": 0.0, "transition_share": 0.0, "full_share": 1.0}},
    nnUNetTrainerBECO: {"beco": {"patch_size": 8, "warm_up_share": 0.0}},
    nnUNetTrainerADS: {"ads": {"warm_up_share": 0.0, "noise_rate_is": "given"}},
}


def settings_of(trainer_class: type[nnUNetTrainer], table: Settings) -> dict[str, Any]:
    """Of the class, or of the first one it inherits from that has some; a trainer without an entry needs none."""
    return next((dict(table[kind]) for kind in trainer_class.__mro__ if kind in table), {})
