"""Everything that touches nnU-Net's trainer."""

from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE

__all__ = ["nnUNetTrainerDALE"]
