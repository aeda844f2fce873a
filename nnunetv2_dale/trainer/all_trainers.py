"""Every trainer by its name: the classes of this folder, and each of them in each of nnU-Net's lengths.

A trainer that is listed in `WRITTEN` is found by nnU-Net, has every length, and is tested.
"""

from __future__ import annotations

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.training_length import nnUNetTrainer_Xepochs

from nnunetv2_dale.trainer import variants
from nnunetv2_dale.trainer.abstaining_dice import nnUNetTrainerADS
from nnunetv2_dale.trainer.case_trust import nnUNetTrainerCaseTrust
from nnunetv2_dale.trainer.co_training import nnUNetTrainerBECO
from nnunetv2_dale.trainer.confidence import nnUNetTrainerConfidence
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.dk_uxnet import nnUNetTrainerDKUXNet
from nnunetv2_dale.trainer.dknet import nnUNetTrainerDKNet
from nnunetv2_dale.trainer.meta_weight_net import nnUNetTrainerMWNet
from nnunetv2_dale.trainer.rivals import nnUNetTrainerGCE
from nnunetv2_dale.trainer.safe_training import SafeTraining
from nnunetv2_dale.trainer.svl_drl import nnUNetTrainerSVLDRL, nnUNetTrainerSVLDRL_uniformActions

WRITTEN: tuple[type[SafeTraining], ...] = (
    nnUNetTrainerDALE,
    nnUNetTrainerCaseTrust,
    nnUNetTrainerConfidence,
    nnUNetTrainerADS,
    nnUNetTrainerBECO,
    nnUNetTrainerDKNet,
    nnUNetTrainerDKUXNet,
    nnUNetTrainerGCE,
    nnUNetTrainerMWNet,
    nnUNetTrainerSVLDRL,
    nnUNetTrainerSVLDRL_uniformActions,
    *(kind for kind in vars(variants).values() if getattr(kind, "__module__", None) == variants.__name__),
)
LENGTHS: dict[str, type[nnUNetTrainer]] = {
    name.removeprefix("nnUNetTrainer"): kind
    for name, kind in vars(nnUNetTrainer_Xepochs).items()
    if name.startswith("nnUNetTrainer_")
}
"""nnU-Net's trainers of other lengths than 1000 epochs, by what they add to a name: `_5epochs`."""


def _in_length(trainer: type[SafeTraining], suffix: str) -> type[SafeTraining]:
    """A trainer with the number of epochs of nnU-Net's class of that suffix."""
    body = {"__module__": __name__, "__doc__": f"`{trainer.__name__}`, {suffix.strip('_').replace('e', ' e', 1)}."}
    return type(f"{trainer.__name__}{suffix}", (trainer, LENGTHS[suffix]), body)


ALL_TRAINERS: dict[str, type[SafeTraining]] = {
    kind.__name__: kind
    for trainer in WRITTEN
    for kind in (trainer, *(_in_length(trainer, suffix) for suffix in LENGTHS))
}
globals().update(ALL_TRAINERS)  # where pickle looks for a class
