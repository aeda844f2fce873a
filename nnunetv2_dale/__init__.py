"""DALE (*Minding Fuzzy Regions*, CVPR 2025) for nnU-Net v2.

The public names below are imported on first use: this file runs at every start of the interpreter (`discovery`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nnunetv2_dale.alternating_step import AlternatingStep, StepRecord
    from nnunetv2_dale.config import DaleConfig
    from nnunetv2_dale.masked_loss import MaskedLoss
    from nnunetv2_dale.trainer import nnUNetTrainerDALE

__version__ = "0.1.0"
__all__ = ["AlternatingStep", "DaleConfig", "MaskedLoss", "StepRecord", "nnUNetTrainerDALE"]

_MODULES = {
    "AlternatingStep": "alternating_step",
    "DaleConfig": "config",
    "MaskedLoss": "masked_loss",
    "StepRecord": "alternating_step",
    "nnUNetTrainerDALE": "trainer",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
