"""The arms of the study: trainers and settings. What each costs is measured (`study.py costs`), not stated."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nnunetv2_dale.dale.config import ADAPTED, PRINTED

# nnUNetTrainerDALE as it was studied: more of Algorithm 1 than today, which won nothing (docs/evidence/dale.md)
STUDIED = replace(ADAPTED, every=2)


@dataclass(frozen=True)
class Arm:
    """How one training differs from plain nnU-Net."""

    trainer: str  # plain, gce, case trust or dale
    settings: dict[str, Any] = field(default_factory=dict)  # of DaleTrainerConfig, all of them


def _adapted(case_trust: str = "groups", **settings: Any) -> Arm:
    return Arm("dale", asdict(STUDIED.updated(settings)) | {"case_trust": case_trust})


_NO_META: dict[str, Any] = {"confidence_steps": 0}
_NO_TRUST: dict[str, Any] = {"case_trust": "off"}
_NO_ALIGNMENT: dict[str, Any] = {"alignment_weight": 0.0}

# named as the trainers: "DALE_noMeta" is nnUNetTrainerDALE_noMeta
ARMS = {
    "plain": Arm("plain"),
    "GCE": Arm("gce"),
    "CaseTrust": Arm("case trust"),
    "DALE": _adapted(),
    "DALE_noConfidence": _adapted(**_NO_META, **_NO_TRUST),
    "DALE_noMeta": _adapted(**_NO_META),
    "DALE_noCaseTrust": _adapted(**_NO_TRUST),
    "DALE_noAlignment": _adapted(**_NO_ALIGNMENT),
    "DALE_alternationOnly": _adapted(**_NO_META, **_NO_TRUST, **_NO_ALIGNMENT),
    "DALE_entropyOnly": _adapted(fuzziness_source="entropy"),
    "DALE_edgesOnly": _adapted(fuzziness_source="edges"),
    "DALE_maskedLoss": _adapted(view="masked_loss"),
    "DALE_reuse": _adapted(confidence_gradient="reuse", fuzzy_graph="keep"),
    "DALE_head": _adapted(confidence_gradient="head", fuzzy_graph="keep"),
    "DALE_asPrinted": Arm("dale", asdict(PRINTED) | {"case_trust": "off"}),
    # what the default was chosen from
    "no phase-out": _adapted(phase_in=0.3, phase_out=0.0, fewest_patches=1),
    "phase-in 0.5": _adapted(phase_in=0.5, phase_out=0.0, fewest_patches=1),
    "phase-in 0.5, patch 8": _adapted(phase_in=0.5, phase_out=0.0, patch_size=8),
    "phases 0.3 to 0.7": _adapted(phase_in=0.3, phase_out=0.3, fewest_patches=5),
    "phases 0.35 to 0.75": _adapted(phase_in=0.35, phase_out=0.25, fewest_patches=5),
    "darkest": _adapted(masked_value="darkest"),
    "every 3": _adapted(every=3),
    # each adaptation at its printed value, to see which holds the form together
    "equal bins": _adapted(intensity_bins="equal"),
    "no average of v": _adapted(confidence_memory=0.0),
    "begins at the clock": _adapted(learned=0.0),
    "L_W not bounded": _adapted(alignment_bound=1000.0),
    "L_W as printed": _adapted(alignment_scale="absolute", alignment_memory=0.0, alignment_bound=1000.0),
}
