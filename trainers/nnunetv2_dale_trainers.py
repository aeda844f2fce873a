"""The trainers, for nnU-Net's search: it imports this module from the folders in `nnUNet_extTrainer`.

Re-exports only: the classes live in the library, since nnU-Net forgets the modules of a folder it has scanned, and a
class of a forgotten module cannot be pickled. The module's name is unique on `sys.path`, its imports are absolute.
"""

from nnunetv2_dale.trainer.abstaining_dice import nnUNetTrainerADS
from nnunetv2_dale.trainer.case_trust import (
    nnUNetTrainerCaseTrust,
    nnUNetTrainerCaseTrust_5epochs,
    nnUNetTrainerCaseTrust_50epochs,
    nnUNetTrainerCaseTrust_250epochs,
)
from nnunetv2_dale.trainer.co_training import nnUNetTrainerBECO
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE
from nnunetv2_dale.trainer.dk_uxnet import (
    nnUNetTrainerDKUXNet,
    nnUNetTrainerDKUXNet_5epochs,
    nnUNetTrainerDKUXNet_50epochs,
    nnUNetTrainerDKUXNet_250epochs,
)
from nnunetv2_dale.trainer.meta_weight_net import nnUNetTrainerMWNet
from nnunetv2_dale.trainer.rivals import nnUNetTrainerGCE
from nnunetv2_dale.trainer.svl_drl import (
    nnUNetTrainerSVLDRL,
    nnUNetTrainerSVLDRL_5epochs,
    nnUNetTrainerSVLDRL_50epochs,
    nnUNetTrainerSVLDRL_250epochs,
    nnUNetTrainerSVLDRL_uniformActions,
)
from nnunetv2_dale.trainer.variants import (
    nnUNetTrainerDALE_1epoch,
    nnUNetTrainerDALE_5epochs,
    nnUNetTrainerDALE_10epochs,
    nnUNetTrainerDALE_20epochs,
    nnUNetTrainerDALE_50epochs,
    nnUNetTrainerDALE_100epochs,
    nnUNetTrainerDALE_250epochs,
    nnUNetTrainerDALE_500epochs,
    nnUNetTrainerDALE_750epochs,
    nnUNetTrainerDALE_2000epochs,
    nnUNetTrainerDALE_4000epochs,
    nnUNetTrainerDALE_8000epochs,
    nnUNetTrainerDALE_alternationOnly,
    nnUNetTrainerDALE_asPrinted,
    nnUNetTrainerDALE_edgesOnly,
    nnUNetTrainerDALE_entropyOnly,
    nnUNetTrainerDALE_head,
    nnUNetTrainerDALE_maskedLoss,
    nnUNetTrainerDALE_noAlignment,
    nnUNetTrainerDALE_noCaseTrust,
    nnUNetTrainerDALE_noConfidence,
    nnUNetTrainerDALE_noDeepSupervision,
    nnUNetTrainerDALE_noMeta,
    nnUNetTrainerDALE_reuse,
)

__all__ = [
    "nnUNetTrainerADS",
    "nnUNetTrainerBECO",
    "nnUNetTrainerCaseTrust",
    "nnUNetTrainerCaseTrust_5epochs",
    "nnUNetTrainerCaseTrust_50epochs",
    "nnUNetTrainerCaseTrust_250epochs",
    "nnUNetTrainerDALE",
    "nnUNetTrainerDALE_1epoch",
    "nnUNetTrainerDALE_5epochs",
    "nnUNetTrainerDALE_10epochs",
    "nnUNetTrainerDALE_20epochs",
    "nnUNetTrainerDALE_50epochs",
    "nnUNetTrainerDALE_100epochs",
    "nnUNetTrainerDALE_250epochs",
    "nnUNetTrainerDALE_500epochs",
    "nnUNetTrainerDALE_750epochs",
    "nnUNetTrainerDALE_2000epochs",
    "nnUNetTrainerDALE_4000epochs",
    "nnUNetTrainerDALE_8000epochs",
    "nnUNetTrainerDALE_alternationOnly",
    "nnUNetTrainerDALE_asPrinted",
    "nnUNetTrainerDALE_edgesOnly",
    "nnUNetTrainerDALE_entropyOnly",
    "nnUNetTrainerDALE_head",
    "nnUNetTrainerDALE_maskedLoss",
    "nnUNetTrainerDALE_noAlignment",
    "nnUNetTrainerDALE_noCaseTrust",
    "nnUNetTrainerDALE_noConfidence",
    "nnUNetTrainerDALE_noDeepSupervision",
    "nnUNetTrainerDALE_noMeta",
    "nnUNetTrainerDALE_reuse",
    "nnUNetTrainerDKUXNet",
    "nnUNetTrainerDKUXNet_5epochs",
    "nnUNetTrainerDKUXNet_50epochs",
    "nnUNetTrainerDKUXNet_250epochs",
    "nnUNetTrainerGCE",
    "nnUNetTrainerMWNet",
    "nnUNetTrainerSVLDRL",
    "nnUNetTrainerSVLDRL_5epochs",
    "nnUNetTrainerSVLDRL_50epochs",
    "nnUNetTrainerSVLDRL_250epochs",
    "nnUNetTrainerSVLDRL_uniformActions",
]
