"""The settings of nnUNetTrainerDALE: those of the method, and whether cases are trusted, which is not part of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from nnunetv2_dale.dale.config import ADAPTED, PRINTED, DaleConfig
from nnunetv2_dale.dale.validated_settings import choice

CaseTrustSwitch = Literal["off", "groups"]


@dataclass(frozen=True)
class DaleTrainerConfig(DaleConfig):
    """What the object "dale" of a plans' configuration changes.

    Raises:
        ValueError: as `DaleConfig`; or a trust of cases without whole batches to learn it from.
    """

    case_trust: CaseTrustSwitch = choice(
        "off", CaseTrustSwitch, "whether omega is also multiplied by the trust of the case; not in the paper"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.case_trust != "off" and self.phase_in == 0 and self.every == 1:
            raise ValueError(
                'case_trust "groups" learns from whole batches, of which phase_in 0 and every 1 leave none; raise one'
            )


DEFAULT = DaleTrainerConfig(**asdict(ADAPTED), case_trust="groups")
AS_PRINTED = DaleTrainerConfig(**asdict(PRINTED))
