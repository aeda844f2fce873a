"""The settings of the trust of cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnunetv2_dale.dale.validated_settings import ValidatedSettings, number


@dataclass(frozen=True)
class CaseTrustConfig(ValidatedSettings):
    """When cases are down-weighted; the defaults did best in the accuracy study (docs/evidence/dale.md)."""

    plans_key: ClassVar[str] = "case_trust"

    start: float = number(0.3, 0.0, 1.0, "part of the training before a case may be down-weighted")
    after: int = number(1000, 0, 1_000_000, "batches before a case may be down-weighted, in a short training too")
    tolerance: float = number(0.4, 0.0, 1000.0, "voxels of contour by which groups may differ on either side")
    explained: float = number(
        0.75, 0.0, 1.0, "part of the cases' variance that two groups must explain before one is down-weighted"
    )
    fewest: int = number(5, 1, 1_000_000, "cases that each group must have")
    memory: float = number(0.9, 0.0, 0.9999, "what a visit of a case leaves of the visits before")
