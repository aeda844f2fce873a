"""The arms of the study: trainers and settings. What each costs is measured (`study.py costs`), not stated."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from nnunetv2_dale.dale.config import RECOMMENDED


@dataclass(frozen=True)
class Arm:
    """How one training differs from plain nnU-Net."""

    trainer: str  # plain, gce or dale
    settings: dict[str, Any] = field(default_factory=dict)  # of DaleConfig, from the paper's
    learning_rate: float = 0.01
    momentum: float = 0.99


def _dale(**settings: Any) -> Arm:
    return Arm("dale", settings)


_WHOLE = {"updates": "whole_batch", "alignment_weight": 0.0, "confidence_start": 0.3}
_LIKELY = {**_WHOLE, "confidence_source": "likelihood"}
_GATED = {**_WHOLE, "confidence_source": "gated", "displacement_tolerance": 0.4, "likelihood_learned": 0.3}
_MASKED = {"view": "masked_loss"}
_OFF = {"confidence_steps": 0, "alignment_weight": 0.0}
_REUSE = {**_MASKED, "alignment_weight": 0.0, "confidence_gradient": "reuse"}

ARMS = {
    "plain": Arm("plain"),
    "gce": Arm("gce"),
    # the printed method, part by part
    "printed": _dale(),
    "printed, reuse": _dale(confidence_gradient="reuse"),
    "printed, no omega": _dale(confidence_steps=0),
    "printed, no L_W": _dale(alignment_weight=0.0),
    "printed, neither": _dale(**_OFF),
    "masked loss": _dale(**_MASKED),
    "masked loss, no omega": _dale(**_MASKED, confidence_steps=0),
    "masked loss, neither": _dale(**_MASKED, **_OFF),
    "masked loss, reuse, no L_W": _dale(**_REUSE),
    "masked loss, reuse, no L_W, omega step 0.5": _dale(**_REUSE, confidence_lr=0.5),
    "masked loss, no omega, L_W from half": _dale(**_MASKED, confidence_steps=0, alignment_warmup=10),
    "masked loss, no omega, a tenth of L_W": _dale(**_MASKED, confidence_steps=0, alignment_weight=0.005),
    "masked loss, neither, half the learning rate": Arm("dale", {**_MASKED, **_OFF}, learning_rate=0.005),
    "masked loss, neither, momentum 0.9": Arm("dale", {**_MASKED, **_OFF}, momentum=0.9),
    # two updates, other confidences
    "masked loss, likelihood": _dale(
        **_MASKED, alignment_weight=0.0, confidence_source="likelihood", confidence_start=0.3
    ),
    "masked loss, reuse and likelihood": _dale(
        **{**_REUSE, "confidence_source": "hypergradient_and_likelihood", "confidence_start": 0.3}
    ),
    # one update per batch
    "views in turns, neither": _dale(**_MASKED, **_OFF, updates="one_view"),
    "views in turns, likelihood": _dale(
        **{**_LIKELY, **_MASKED, "updates": "one_view"},
    ),
    "whole batch, likelihood": _dale(**_LIKELY),
    "whole batch, likelihood below 0.2": _dale(**_LIKELY, likelihood_threshold=0.2),
    "whole batch, likelihood below 1": _dale(**_LIKELY, likelihood_threshold=1.0),
    "whole batch, likelihood from the start": _dale(**{**_LIKELY, "confidence_start": 0.0}),
    "whole batch, likelihood where m >= 0.9": _dale(**_LIKELY, confidence_scope="fuzzy"),
    "whole batch, likelihood where m >= 0.3": _dale(**_LIKELY, confidence_scope="fuzzy", fuzzy_threshold=0.3),
    "whole batch, likelihood where m >= 0.3, patch 8": _dale(
        **_LIKELY, confidence_scope="fuzzy", fuzzy_threshold=0.3, patch_size=8
    ),
    "whole batch, likelihood and L_W": _dale(**{**_LIKELY, "alignment_weight": 0.05}, alignment_warmup=10),
    "whole batch, gated likelihood": _dale(**_WHOLE, confidence_source="gated", displacement_tolerance=0.25),
    "whole batch, gated likelihood from 10 %": _dale(
        **{**_WHOLE, "confidence_source": "gated", "confidence_start": 0.1, "displacement_tolerance": 0.25}
    ),
    "whole batch, displacement": _dale(
        **_WHOLE,
        confidence_source="displacement",
        likelihood_threshold=1.0,
        likelihood_exponent=2.0,
        displacement_tolerance=0.25,
    ),
    "whole batch, displacement beyond 0.5": _dale(
        **_WHOLE,
        confidence_source="displacement",
        likelihood_threshold=1.0,
        likelihood_exponent=2.0,
        displacement_tolerance=0.5,
    ),
    "whole batch, likelihood gated beyond 0.4": _dale(**_WHOLE, confidence_source="gated", displacement_tolerance=0.4),
    "whole batch, likelihood gated beyond 0.4, learned to 0.5": _dale(
        **_WHOLE, confidence_source="gated", displacement_tolerance=0.4, likelihood_learned=0.5
    ),
    "whole batch, likelihood gated beyond 0.4, learned to 0.3": _dale(**_GATED),
    "whole batch, likelihood gated beyond 0.4, learned to 0.3, from 60 %": _dale(**{**_GATED, "confidence_start": 0.6}),
    "whole batch, likelihood gated beyond 0.4, learned to 0.3, from 60 %, below 0.1": _dale(
        **{**_GATED, "confidence_start": 0.6}, likelihood_threshold=0.1
    ),
    "default": Arm("dale", asdict(RECOMMENDED)),
}
