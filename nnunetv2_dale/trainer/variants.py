"""DALE without deep supervision; the printed method; what each part does."""

from __future__ import annotations

from dataclasses import replace

from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerNoDeepSupervision import (
    nnUNetTrainerNoDeepSupervision,
)

from nnunetv2_dale.trainer.config import AS_PRINTED, DEFAULT
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE


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
