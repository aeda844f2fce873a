"""DALE (*Minding Fuzzy Regions*, CVPR 2025) for nnU-Net v2.

The public names below are imported on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
