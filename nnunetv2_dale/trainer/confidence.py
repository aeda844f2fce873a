"""nnU-Net's trainer that takes what is given of the labels, and learns nothing about them."""

from __future__ import annotations

from nnunetv2_dale.trainer.safe_training import SafeTraining


class nnUNetTrainerConfidence(SafeTraining):
    """Plain nnU-Net, with given confidence of voxels, weights of cases, and classes that are not annotated."""
