"""The settings of the rivals that have any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nnunetv2_dale.dale.validated_settings import ValidatedSettings, choice, number

NoiseRate = Literal["estimated", "given"]


@dataclass(frozen=True)
class FuzzySettings(ValidatedSettings):
    """What tells fuzzy from not fuzzy, for the methods that need it."""

    patch_size: int = number(16, 1, 4096, "voxels along an in-plane edge of a fuzziness patch")
    entropy_bins: int = number(32, 2, 65536, "intensity bins of the fuzziness")
    fuzzy_threshold: float = number(0.9, 0.0, 1.0, "tau: a patch is fuzzy where m reaches it")


@dataclass(frozen=True)
class MetaWeightConfig(FuzzySettings):
    """The authors' settings; the fuzzy ones serve where there are no meta cases."""

    plans_key: ClassVar[str] = "mwnet"

    hidden: int = number(100, 1, 10_000, "units of V's hidden layer")
    meta_lr: float = number(1e-3, 0.0, 1.0, "learning rate of V (Adam)")
    meta_weight_decay: float = number(1e-4, 0.0, 1.0, "weight decay of V")


@dataclass(frozen=True)
class CoTrainingConfig(FuzzySettings):
    """What counts as confident, and from when on the networks teach each other."""

    plans_key: ClassVar[str] = "beco"

    warm_up_share: float = number(0.1, 0.0, 1.0, "part of the epochs in which every label is trusted")
    cross_weight: float = number(1.0, 0.0, 100.0, "factor of the other network's labels")


@dataclass(frozen=True)
class AbstainingDiceConfig(ValidatedSettings):
    """The authors' settings; the noise rate, which they know, is estimated unless it is given.

    Raises:
        ValueError: also a noise rate that is to be estimated without a warm-up to do it in.
    """

    plans_key: ClassVar[str] = "ads"

    noise_rate_is: NoiseRate = choice(
        "estimated", NoiseRate, "eta: 1 - Dice of network and labels at the end of the warm-up, or noise_rate"
    )
    noise_rate: float = number(0.2, 0.0, 0.99, "eta of every class, where it is given")
    penalty: float = number(4.0, 0.0, 1000.0, "alpha at the end of the training")
    penalty_exponent: float = number(1.5, 0.0, 100.0, "how alpha grows: a power of the training since the warm-up")
    warm_up_share: float = number(0.2, 0.0, 1.0, "part of the epochs without abstention")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_rate_is == "estimated" and self.warm_up_share == 0:
            raise ValueError(
                'noise_rate_is "estimated" needs a warm-up to estimate it in, got warm_up_share 0; raise it, or set '
                'noise_rate_is to "given"'
            )
