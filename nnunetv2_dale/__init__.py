"""DALE (*Minding Fuzzy Regions*, CVPR 2025) for nnU-Net v2.

The public names below are imported on first use: this file runs at every start of the interpreter (`discovery`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nnunetv2_dale.dale.alternating_step import AlternatingStep
    from nnunetv2_dale.dale.config import DaleConfig
    from nnunetv2_dale.dale.masked_loss import MaskedLoss
    from nnunetv2_dale.dale.phased_step import PhasedStep
    from nnunetv2_dale.dale.step_record import StepRecord
    from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE

__version__ = "0.2.0"
__all__ = ["AlternatingStep", "DaleConfig", "MaskedLoss", "PhasedStep", "StepRecord", "nnUNetTrainerDALE"]

_MODULES = {
    "AlternatingStep": "dale.alternating_step",
    "DaleConfig": "dale.config",
    "MaskedLoss": "dale.masked_loss",
    "PhasedStep": "dale.phased_step",
    "StepRecord": "dale.step_record",
    "nnUNetTrainerDALE": "trainer.dale",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
