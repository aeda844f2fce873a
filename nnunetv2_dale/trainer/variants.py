"""The trainings nnU-Net offers in other lengths and settings, with DALE; the printed method; what each part does.

Lengths inherit their number of epochs from nnU-Net's class of the same suffix, so every one has a plain twin.
"""

from __future__ import annotations

from dataclasses import replace

from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerNoDeepSupervision import (
    nnUNetTrainerNoDeepSupervision,
)
from nnunetv2.training.nnUNetTrainer.variants.training_length.nnUNetTrainer_Xepochs import (
    nnUNetTrainer_1epoch,
    nnUNetTrainer_5epochs,
    nnUNetTrainer_10epochs,
    nnUNetTrainer_20epochs,
    nnUNetTrainer_50epochs,
    nnUNetTrainer_100epochs,
    nnUNetTrainer_250epochs,
    nnUNetTrainer_500epochs,
    nnUNetTrainer_750epochs,
    nnUNetTrainer_2000epochs,
    nnUNetTrainer_4000epochs,
    nnUNetTrainer_8000epochs,
)

from nnunetv2_dale.trainer.config import AS_PRINTED, DEFAULT
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE


class nnUNetTrainerDALE_1epoch(nnUNetTrainerDALE, nnUNetTrainer_1epoch):
    """DALE, 1 epoch."""


class nnUNetTrainerDALE_5epochs(nnUNetTrainerDALE, nnUNetTrainer_5epochs):
    """DALE, 5 epochs."""


class nnUNetTrainerDALE_10epochs(nnUNetTrainerDALE, nnUNetTrainer_10epochs):
    """DALE, 10 epochs."""


class nnUNetTrainerDALE_20epochs(nnUNetTrainerDALE, nnUNetTrainer_20epochs):
    """DALE, 20 epochs."""


class nnUNetTrainerDALE_50epochs(nnUNetTrainerDALE, nnUNetTrainer_50epochs):
    """DALE, 50 epochs."""


class nnUNetTrainerDALE_100epochs(nnUNetTrainerDALE, nnUNetTrainer_100epochs):
    """DALE, 100 epochs."""


class nnUNetTrainerDALE_250epochs(nnUNetTrainerDALE, nnUNetTrainer_250epochs):
    """DALE, 250 epochs."""


class nnUNetTrainerDALE_500epochs(nnUNetTrainerDALE, nnUNetTrainer_500epochs):
    """DALE, 500 epochs."""


class nnUNetTrainerDALE_750epochs(nnUNetTrainerDALE, nnUNetTrainer_750epochs):
    """DALE, 750 epochs."""


class nnUNetTrainerDALE_2000epochs(nnUNetTrainerDALE, nnUNetTrainer_2000epochs):
    """DALE, 2000 epochs."""


class nnUNetTrainerDALE_4000epochs(nnUNetTrainerDALE, nnUNetTrainer_4000epochs):
    """DALE, 4000 epochs."""


class nnUNetTrainerDALE_8000epochs(nnUNetTrainerDALE, nnUNetTrainer_8000epochs):
    """DALE, 8000 epochs."""


class nnUNetTrainerDALE_noDeepSupervision(nnUNetTrainerDALE, nnUNetTrainerNoDeepSupervision):
    """DALE without deep supervision."""


class nnUNetTrainerDALE_noConfidence(nnUNetTrainerDALE):
    """Without ω, neither of meta steps nor of cases: every label of the fuzzy view is trusted (Eqs. 8–11)."""

    dale = replace(DEFAULT, confidence_steps=0, case_trust="off")


class nnUNetTrainerDALE_noMeta(nnUNetTrainerDALE):
    """ω from the trust of the cases alone, without meta steps (Eqs. 8–11)."""

    dale = replace(DEFAULT, confidence_steps=0)


class nnUNetTrainerDALE_noCaseTrust(nnUNetTrainerDALE):
    """ω from the meta steps alone, as in the paper."""

    dale = replace(DEFAULT, case_trust="off")


class nnUNetTrainerDALE_noAlignment(nnUNetTrainerDALE):
    """Without L_W (ablation of Eqs. 12–14)."""

    dale = replace(DEFAULT, alignment_weight=0.0)


class nnUNetTrainerDALE_alternationOnly(nnUNetTrainerDALE):
    """Without ω, neither of meta steps nor of cases, and without L_W: the two masked updates alone."""

    dale = replace(DEFAULT, confidence_steps=0, case_trust="off", alignment_weight=0.0)


class nnUNetTrainerDALE_entropyOnly(nnUNetTrainerDALE):
    """Fuzziness from patch entropy alone (Eq. 3)."""

    dale = replace(DEFAULT, fuzziness_source="entropy")


class nnUNetTrainerDALE_edgesOnly(nnUNetTrainerDALE):
    """Fuzziness from the label-edge ratio alone (Eq. 4)."""

    dale = replace(DEFAULT, fuzziness_source="edges")


class nnUNetTrainerDALE_maskedLoss(nnUNetTrainerDALE):
    """The masks weight the loss of each voxel; image and label stay whole."""

    dale = replace(DEFAULT, view="masked_loss")


class nnUNetTrainerDALE_reuse(nnUNetTrainerDALE):
    """ω from the non-fuzzy gradient of line 5, without the look-ahead: cheaper."""

    dale = replace(DEFAULT, confidence_gradient="reuse", fuzzy_graph="keep")


class nnUNetTrainerDALE_head(nnUNetTrainerDALE):
    """ω from the non-fuzzy gradient of the segmentation head alone: cheapest, no copy of the network."""

    dale = replace(DEFAULT, confidence_gradient="head", fuzzy_graph="keep")


class nnUNetTrainerDALE_asPrinted(nnUNetTrainerDALE):
    """The paper's settings, whatever the defaults become."""

    dale = AS_PRINTED
